import { describe, expect, it } from 'vitest'
import { SimulatedTime } from '../../test/simulated-time.js'
import { judgeReader, ReadRateGuard } from './min-rate.js'

const RATE = { minRate: 10_000, windowMs: 30_000 }

describe('judgeReader', () => {
  it.each([
    ['too little in a whole window', { bytes: 299_999, blockedMs: 30_000 }, 'too-slow'],
    ['nothing at all', { bytes: 0, blockedMs: 31_000 }, 'too-slow'],
    ['just enough', { bytes: 300_000, blockedMs: 30_000 }, 'fast-enough'],
    ['nothing yet', { bytes: 0, blockedMs: 29_999 }, 'early'],
  ] as const)('judges %s', (_what, window, verdict) => {
    expect(judgeReader(window, RATE)).toBe(verdict)
  })
})

describe('ReadRateGuard', () => {
  it('cuts a client that takes drops, once, within a sweep of the end of the window', async () => {
    const time = new SimulatedTime()
    const guard = new ReadRateGuard(RATE, time)
    let cuts = 0
    const transfer = guard.watch(() => cuts++)
    transfer.blocked()
    for (let second = 0; second < 29; second++) {
      await time.pass(1000)
      transfer.took(5000, false)
    }
    expect(cuts).toBe(0)
    await time.pass(2000)
    expect(cuts).toBe(1)
    await time.pass(60_000)
    expect(cuts).toBe(1)
    expect(guard.watched).toBe(0)
    expect(time.timers).toBe(0)
  })

  it('cuts a client that begins well and then stalls', async () => {
    const time = new SimulatedTime()
    const guard = new ReadRateGuard(RATE, time)
    let cut = false
    const transfer = guard.watch(() => {
      cut = true
    })
    transfer.blocked()
    transfer.took(4_000_000, false)
    await time.pass(31_000)
    expect(cut).toBe(false)
    await time.pass(31_000)
    expect(cut).toBe(true)
  })

  it('never cuts a transfer that waits for its origin', async () => {
    const time = new SimulatedTime()
    const guard = new ReadRateGuard(RATE, time)
    let cut = false
    const transfer = guard.watch(() => {
      cut = true
    })
    for (let round = 0; round < 100; round++) {
      transfer.blocked()
      await time.pass(20)
      transfer.took(1000, true)
      await time.pass(5000)
    }
    expect(cut).toBe(false)
    transfer.end()
  })

  it('counts what a slow client takes of one large buffer', async () => {
    const time = new SimulatedTime()
    const guard = new ReadRateGuard(RATE, time)
    let cut = false
    const transfer = guard.watch(() => {
      cut = true
    })
    transfer.blocked()
    for (let second = 0; second < 100; second++) {
      await time.pass(1000)
      transfer.took(11_000, false)
    }
    expect(cut).toBe(false)
    transfer.end()
  })

  it('holds a new limit for transfers that run', async () => {
    const time = new SimulatedTime()
    const guard = new ReadRateGuard({ minRate: 1, windowMs: 30_000 }, time)
    let cut = false
    const transfer = guard.watch(() => {
      cut = true
    })
    transfer.blocked()
    transfer.took(1000, false)
    guard.configure(RATE)
    await time.pass(31_000)
    expect(cut).toBe(true)
  })

  it('looks at nothing when no transfer waits', async () => {
    const time = new SimulatedTime()
    const guard = new ReadRateGuard(RATE, time)
    const transfers = [guard.watch(() => {}), guard.watch(() => {})]
    expect(time.timers).toBe(1)
    for (const transfer of transfers) transfer.end()
    transfers[0]!.end()
    expect(time.timers).toBe(0)
  })
})
