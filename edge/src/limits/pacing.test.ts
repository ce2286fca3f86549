import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SimulatedTime } from '../../test/simulated-time.js'
import { type Pace, Pacer } from './pacing.js'
import { TimerWheel } from './timer-wheel.js'

/** Sends as the edge does: a buffer at a time, waiting on the wheel. @returns bytes by the end of each second. */
async function transfer(pace: Pace, seconds: number, time: SimulatedTime, wheel: TimerWheel, buffer = 256 * 1024): Promise<number[]> {
  const pacer = new Pacer(pace, time.now())
  const end = time.now() + seconds * 1000
  const bySecond = new Array<number>(seconds).fill(0)
  const start = time.now()
  while (time.now() < end) {
    const granted = pacer.grant(buffer, time.now())
    const second = Math.floor((time.now() - start) / 1000)
    if (second < seconds) bySecond[second] = bySecond[second]! + granted
    if (granted === 0) await wheel.wait(pacer.wait(buffer, time.now())).done
  }
  return bySecond
}

describe('Pacer', () => {
  it('never gives more than burst and rate, whenever it is asked', () => {
    const asks = fc.array(fc.record({ after: fc.integer({ min: 0, max: 400 }), wanted: fc.integer({ min: 1, max: 1 << 20 }) }), {
      maxLength: 100,
    })
    const paces = fc.record({ rate: fc.integer({ min: 1024, max: 1e8 }), burst: fc.integer({ min: 0, max: 1 << 22 }) })
    fc.assert(
      fc.property(paces, asks, (pace, steps) => {
        let now = 5000
        let given = 0
        const pacer = new Pacer(pace, now)
        for (const { after, wanted } of steps) {
          now += after
          const granted = pacer.grant(wanted, now)
          expect(granted).toBeLessThanOrEqual(wanted)
          given += granted
          expect(given).toBeLessThanOrEqual(pace.burst + (pace.rate * (now - 5000)) / 1000 + 1)
        }
      }),
    )
  })

  it('tells the wait after which it gives something', () => {
    const input = fc.record({
      rate: fc.integer({ min: 1024, max: 1e8 }),
      burst: fc.integer({ min: 0, max: 1 << 20 }),
      wanted: fc.integer({ min: 1, max: 1 << 20 }),
    })
    fc.assert(
      fc.property(input, ({ rate, burst, wanted }) => {
        const pacer = new Pacer({ rate, burst }, 0)
        let now = 0
        for (let round = 0; round < 20; round++) {
          const wait = pacer.wait(wanted, now)
          const granted = pacer.grant(wanted, now)
          expect(granted > 0).toBe(wait === 0)
          if (wait > 0) expect(pacer.grant(wanted, now + wait)).toBeGreaterThan(0)
          now += wait
        }
      }),
    )
  })

  it('gives the burst at once and the end of a body however short', () => {
    const pacer = new Pacer({ rate: 100_000, burst: 50_000 }, 0)
    expect(pacer.grant(40_000, 0)).toBe(40_000)
    expect(pacer.grant(10_000, 0)).toBe(10_000)
    expect(pacer.grant(7, 0)).toBe(0)
    expect(pacer.grant(7, 1)).toBe(7)
  })

  it.each([
    ['10 KB/s', 10_000, 0],
    ['100 KB/s', 100_000, 64 * 1024],
    ['1 MB/s', 1e6, 1 << 20],
    ['12.5 MB/s', 12.5e6, 0],
    ['100 MB/s', 1e8, 4 << 20],
  ])('keeps %s within 5 % over ten seconds, on late timers too', async (_what, rate, burst) => {
    let seed = 1
    const upTo6Ms = () => {
      seed = (seed * 48271) % 2147483647
      return seed % 7
    }
    for (const lateness of [() => 0, upTo6Ms]) {
      const time = new SimulatedTime(0, lateness)
      const wheel = new TimerWheel(time)
      const running = transfer({ rate, burst }, 10, time, wheel)
      await time.pass(11_000)
      const total = (await running).reduce((sum, bytes) => sum + bytes, 0)
      expect((total - burst) / (rate * 10)).toBeGreaterThan(0.95)
      expect((total - burst) / (rate * 10)).toBeLessThan(1.05)
    }
  })

  it('keeps each of a thousand transfers at its rate, on one timer', async () => {
    const time = new SimulatedTime()
    const wheel = new TimerWheel(time)
    const all = Array.from({ length: 1000 }, () => transfer({ rate: 250_000, burst: 0 }, 2, time, wheel, 64 * 1024))
    await time.pass(3000)
    for (const bytes of await Promise.all(all)) {
      const total = bytes.reduce((sum, second) => sum + second, 0)
      expect(total / 500_000).toBeGreaterThan(0.95)
      expect(total / 500_000).toBeLessThanOrEqual(1)
    }
    expect(time.timers).toBe(0)
  })
})
