import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RetryBudget } from './retry-budget.js'

const make = (ratio: number, minPerSecond: number, burst = 0) => {
  const clock = { now: 0 }
  return { clock, budget: new RetryBudget({ ratio, minPerSecond, burst, now: () => clock.now }) }
}
const takeAll = (budget: RetryBudget) => {
  let taken = 0
  while (budget.take()) taken++
  return taken
}

describe('RetryBudget', () => {
  it('refuses more than its share of the requests and its floor, at any order of events', () => {
    const event = fc.oneof(fc.constant('first' as const), fc.constant('retry' as const), fc.integer({ min: 1, max: 500 }))
    fc.assert(
      fc.property(fc.array(event, { maxLength: 300 }), (events) => {
        const { budget, clock } = make(0.2, 10)
        let [firsts, retries] = [0, 0]
        for (const happened of events) {
          if (happened === 'first') {
            budget.deposit()
            firsts++
          } else if (happened === 'retry') retries += budget.take() ? 1 : 0
          else clock.now += happened
        }
        expect(retries).toBeLessThanOrEqual(10 + 0.2 * firsts + (clock.now * 10) / 1000 + 1e-6)
      }),
    )
  })

  it('fills up by time to one second of its floor, and no further', () => {
    const { budget, clock } = make(0.2, 10)
    expect(takeAll(budget)).toBe(10)
    clock.now = 500
    expect(takeAll(budget)).toBe(5)
    clock.now = 60_000
    expect(takeAll(budget)).toBe(10)
  })

  it('allows one now and then where its floor is less than one per second', () => {
    const { budget, clock } = make(0, 0.25)
    expect(takeAll(budget)).toBe(1)
    clock.now = 3900
    expect(takeAll(budget)).toBe(0)
    clock.now = 4100
    expect(takeAll(budget)).toBe(1)
  })

  it('saves up the share of busy times only to a bound', () => {
    const { budget } = make(0.2, 10, 100)
    takeAll(budget)
    for (let count = 0; count < 10_000; count++) budget.deposit()
    expect(takeAll(budget)).toBe(100)
  })

  it('has its burst at the start, for an origin that dies just then', () => {
    const { budget, clock } = make(0.2, 10, 500)
    expect(takeAll(budget)).toBe(500)
    clock.now = 60_000
    expect(takeAll(budget)).toBe(10)
  })

  it('leaves a reserve for those who need it more', () => {
    const { budget } = make(0, 10)
    let gentle = 0
    while (budget.take(0.5)) gentle++
    expect([gentle, takeAll(budget)]).toEqual([5, 5])
  })

  it('allows none where none are configured', () => {
    expect(make(0, 0, 500).budget.take()).toBe(false)
  })

  it('bears a clock that goes back', () => {
    const { budget, clock } = make(0, 10)
    clock.now = -1000
    expect(takeAll(budget)).toBe(10)
    clock.now = 0
    expect(takeAll(budget)).toBe(10)
  })
})
