import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RateLimit } from './rate-limit.js'
import { bucketRate, level, taken, waitFor } from './token-bucket.js'

describe('RateLimit', () => {
  it('refuses beyond the burst and says when to come back', () => {
    const limit = new RateLimit({ requestsPerSecond: 0.5, requestBurst: 3 })
    expect([1, 2, 3, 4].map(() => limit.allow('a', 1000))).toEqual([0, 0, 0, 2])
    expect(limit.allow('a', 2500)).toBe(1)
    expect(limit.allow('a', 3000)).toBe(0)
  })

  it('takes nothing for a refused request', () => {
    const limit = new RateLimit({ requestsPerSecond: 1, requestBurst: 1 })
    limit.allow('a', 0)
    for (let at = 0; at < 900; at += 10) expect(limit.allow('a', at)).toBe(1)
    expect(limit.allow('a', 1000)).toBe(0)
  })

  it('keeps one client from using up another', () => {
    const limit = new RateLimit({ requestsPerSecond: 1, requestBurst: 1 })
    limit.allow('a', 0)
    expect(limit.allow('a', 0)).toBe(1)
    expect(limit.allow('b', 0)).toBe(0)
  })

  it('never knows more clients than its bound, and forgets the one that was silent longest', () => {
    const limit = new RateLimit({ requestsPerSecond: 1, requestBurst: 1 }, 3)
    for (const key of ['a', 'b', 'c']) limit.allow(key, 0)
    limit.allow('a', 1)
    limit.allow('d', 1)
    expect(limit.clients).toBe(3)
    expect(limit.allow('a', 1)).toBe(1)
    expect(limit.allow('b', 1)).toBe(0)
  })

  it('asks a full bucket of what costs more than the burst', () => {
    const limit = new RateLimit({ requestsPerSecond: 1, requestBurst: 2 })
    expect(limit.allow('a', 0, 5)).toBe(0)
    expect(limit.allow('a', 0, 5)).toBe(5)
    expect(limit.allow('a', 5000, 5)).toBe(0)
  })

  it('holds new limits from the next request on', () => {
    const limit = new RateLimit({ requestsPerSecond: 1, requestBurst: 1 })
    limit.allow('a', 0)
    limit.configure({ requestsPerSecond: 1, requestBurst: 2 })
    expect([1, 2, 3].map(() => limit.allow('a', 0))).toEqual([0, 0, 1])
  })
})

describe('token bucket', () => {
  it('gives in any time no more than burst and rate, and no less to who asks all the time', () => {
    const input = fc.record({
      perSecond: fc.integer({ min: 1, max: 5000 }),
      burst: fc.integer({ min: 1, max: 100 }),
      stepMs: fc.integer({ min: 1, max: 50 }),
    })
    fc.assert(
      fc.property(input, ({ perSecond, burst, stepMs }) => {
        const rate = bucketRate(perSecond, burst)
        let fullAt = 0
        let given = 0
        let now = 0
        for (let step = 0; step < 200; step++, now += stepMs) {
          while (waitFor(rate, fullAt, now, 1) === 0) {
            fullAt = taken(rate, fullAt, now, 1)
            given++
          }
          expect(given).toBeLessThanOrEqual(burst + (perSecond * now) / 1000 + 0.01)
        }
        // What comes in during one step is lost where the bucket can't hold it, beside a rest of less than one token.
        const perStep = Math.min(burst - 1, (perSecond * stepMs) / 1000)
        expect(given).toBeGreaterThanOrEqual(Math.floor(burst + perStep * 199 - 1))
      }),
    )
  })

  it('tells the wait after which the tokens are there', () => {
    const input = fc.record({
      perSecond: fc.integer({ min: 1, max: 1000 }),
      used: fc.integer({ min: 0, max: 50 }),
      cost: fc.integer({ min: 1, max: 10 }),
    })
    fc.assert(
      fc.property(input, ({ perSecond, used, cost }) => {
        const rate = bucketRate(perSecond, 10)
        const fullAt = taken(rate, 0, 100, used)
        const wait = waitFor(rate, fullAt, 100, cost)
        expect(waitFor(rate, fullAt, 100 + wait, cost)).toBe(0)
        expect(level(rate, fullAt, 100 + wait)).toBeGreaterThanOrEqual(cost - 0.001)
        if (wait > 1) expect(waitFor(rate, fullAt, 100 + wait - 1, cost)).toBeGreaterThan(0)
      }),
    )
  })
})
