import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { DiskHealth } from './disk-health.js'

const ioError = Object.assign(new Error('i/o error'), { code: 'EIO' })

describe('a disk that fails', () => {
  let health: DiskHealth
  let states: string[]
  let works: boolean
  beforeEach(async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    clock = 0
    states = []
    works = true
    const trial = async () => {
      if (!works) throw ioError
    }
    health = new DiskHealth(
      { now: () => clock, restMs: 10_000 },
      { begin: trial, probe: trial, fault: () => {}, changed: (state) => states.push(`${state} ${clock}`) },
    )
    await health.start()
  })
  afterEach(async () => {
    await health.close()
    vi.useRealTimers()
  })
  let clock = 0
  const pass = async (ms: number) => {
    for (const end = clock + ms; clock < end; ) {
      clock += 1000
      await vi.advanceTimersByTimeAsync(1000)
    }
  }
  /** How long it rests when it fails now. */
  const rest = async () => {
    const from = clock
    health.failed(ioError)
    expect(health.state).toBe('out')
    while (health.state === 'out') await pass(1000)
    return (clock - from) / 1000
  }

  it('each time soon after it came back rests twice as long, up to ten minutes', async () => {
    const rests = []
    for (let times = 0; times < 9; times++) rests.push(await rest())
    expect(rests).toEqual([10, 20, 40, 80, 160, 320, 600, 600, 600])
  })

  it('after it has worked for a while rests no longer than at first', async () => {
    for (let times = 0; times < 3; times++) await rest()
    await pass(61_000)
    expect(await rest()).toBe(10)
    for (let times = 0; times < 5; times++) await rest()
    // Longer than a minute, but no longer than it rested.
    await pass(200_000)
    expect(await rest()).toBe(600)
    await pass(601_000)
    expect(await rest()).toBe(10)
  })

  it('and fails its trials is tried as often as before', async () => {
    works = false
    health.failed(ioError)
    await pass(35_000)
    expect(states).toEqual(['out 0'])
    works = true
    await pass(6000)
    expect(states).toEqual(['out 0', 'in 40000'])
  })

  it('is out at the third read in ten seconds that fails, not for want of descriptors', async () => {
    for (let times = 0; times < 9; times++) health.readFailed(Object.assign(new Error('too many'), { code: 'EMFILE' }))
    for (const error of [ioError, ioError]) health.readFailed(error)
    await pass(10_000)
    for (const error of [ioError, ioError]) health.readFailed(error)
    expect(health.state).toBe('in')
    health.readFailed(ioError)
    expect(health.state).toBe('out')
  })
})
