import { describe, expect, it } from 'vitest'
import { atLeast, atMost, median, notJudged, quantile } from './bench.js'

describe('a bar', () => {
  it('is missed on the wrong side of its bound, and its goal is judged apart', () => {
    expect(atLeast('hits', 0.84, 0.85, 1)).toMatchObject({ ok: false, bound: '>=0.85', goal: '>=1', goalReached: false })
    expect(atLeast('hits', 0.9, 0.85, 1)).toMatchObject({ ok: true, goalReached: false })
    expect(atMost('misses', 1.0004, 1.3, 1)).toMatchObject({ ok: true, value: 1, goalReached: false })
  })

  it('without a number is missed, not passed', () => {
    expect(atMost('misses', Number.NaN, 1.3).ok).toBe(false)
    expect(atLeast('hits', Number.NaN, 1.3).ok).toBe(false)
  })

  it('that cannot be judged keeps what was seen and says why', () => {
    expect(notJudged(atLeast('hits', 0.5, 0.85, 1), 'one core')).toEqual({
      name: 'hits',
      value: 0.5,
      bound: '>=0.85',
      ok: null,
      why: 'one core',
      goal: '>=1',
      goalReached: null,
    })
  })
})

it('median and quantile of an even number of values lie between neighbours, and leave their input as it is', () => {
  const values = [4, 1, 3, 2]
  expect(median(values)).toBe(2.5)
  expect(quantile(values, 1)).toBe(4)
  expect(quantile(values, 0)).toBe(1)
  expect(values).toEqual([4, 1, 3, 2])
  expect(median([])).toBeNaN()
})
