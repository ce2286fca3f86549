import { describe, expect, it } from 'vitest'
import { SimulatedTime } from '../../test/simulated-time.js'
import { systemTicker, TimerWheel } from './timer-wheel.js'

describe('TimerWheel', () => {
  it('ends no wait early and none later than two ticks, over many turns of the wheel', async () => {
    const time = new SimulatedTime(123_456.7)
    const wheel = new TimerWheel(time)
    const ended: { ms: number; after: number }[] = []
    const start = time.now()
    const waits = [0, 1, 9.9, 10, 11, 100, 2559, 2560, 2561, 2570, 5120, 7777, 30_000]
    for (const ms of waits) void wheel.wait(ms).done.then(() => ended.push({ ms, after: time.now() - start }))
    await time.pass(31_000)
    expect(ended.map(({ ms }) => ms)).toEqual(waits)
    for (const { ms, after } of ended) {
      expect(after).toBeGreaterThanOrEqual(ms)
      expect(after).toBeLessThanOrEqual(ms + 20)
    }
  })

  it('ends every wait that a blocked event loop has missed, and none that lies ahead', async () => {
    const time = new SimulatedTime(0, () => 0)
    const wheel = new TimerWheel(time)
    const ended: number[] = []
    for (const ms of [20, 400, 3000, 9000, 20_000]) void wheel.wait(ms).done.then(() => ended.push(ms))
    const late = new SimulatedTime(0, () => 10_000)
    const blocked = new TimerWheel(late)
    const endedLate: number[] = []
    for (const ms of [20, 400, 3000, 9000, 20_000]) void blocked.wait(ms).done.then(() => endedLate.push(ms))
    await late.pass(10_020)
    expect(endedLate.sort((a, b) => a - b)).toEqual([20, 400, 3000, 9000])
    expect(blocked.waiting).toBe(1)
    await time.pass(10_020)
    expect(ended).toEqual([20, 400, 3000, 9000])
  })

  it('ends a cancelled wait at once and takes no second end', async () => {
    const time = new SimulatedTime()
    const wheel = new TimerWheel(time)
    const waiting = wheel.wait(1000)
    waiting.cancel()
    waiting.cancel()
    await waiting.done
    expect(wheel.waiting).toBe(0)
  })

  it('runs one timer for all, and none when nobody waits', async () => {
    const time = new SimulatedTime()
    const wheel = new TimerWheel(time)
    expect(wheel.running).toBe(false)
    const many = Array.from({ length: 5000 }, (_, index) => wheel.wait(index % 700))
    expect(time.timers).toBe(1)
    await time.pass(720)
    await Promise.all(many.map((waiting) => waiting.done))
    expect(time.timers).toBe(0)
    expect(wheel.running).toBe(false)
    void wheel.wait(5)
    expect(time.timers).toBe(1)
  })

  it("runs on the machine's clock", async () => {
    const wheel = new TimerWheel(systemTicker)
    const start = performance.now()
    await wheel.wait(25).done
    expect(performance.now() - start).toBeGreaterThanOrEqual(25)
    expect(wheel.running).toBe(false)
  })
})
