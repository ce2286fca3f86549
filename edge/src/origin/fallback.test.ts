import { describe, expect, it } from 'vitest'
import type { Attempt } from './contract.js'
import { allMissing, exhausted, isFailure, outcomeOf } from './fallback.js'

const attempts = (...outcomes: Attempt['outcome'][]) => outcomes.map((outcome, index) => ({ origin: `o${index}`, outcome }))

describe('outcomeOf', () => {
  it.each([
    [404, 'missing', false],
    [410, 'missing', false],
    [206, 'rejected', false],
    [301, 'rejected', false],
    [403, 'rejected', false],
    [500, 'server-error', true],
    [503, 'server-error', true],
    [200, 'ok', false],
  ] as const)('takes %i for %s', (status, outcome, failure) => {
    expect(outcomeOf(status, (wanted) => wanted === 200)).toBe(outcome)
    expect(isFailure(outcome)).toBe(failure)
  })

  it('takes an error for an answer where it is wanted', () => {
    expect(outcomeOf(503, () => true)).toBe('ok')
  })
})

describe('exhausted', () => {
  it.each([
    [['missing', 'missing'], 404, 'not-found'],
    [['missing', 'unreachable'], 502, 'origins-failed'],
    [['missing', 'timeout'], 504, 'origins-timeout'],
    [['timeout', 'server-error'], 502, 'origins-failed'],
    [['rejected'], 502, 'origins-failed'],
    [['busy', 'missing'], 503, 'origins-busy'],
    [['missing', 'retry-budget'], 502, 'origins-failed'],
    [[], 502, 'origins-failed'],
  ] as const)('answers %j with %i %s', (outcomes, status, code) => {
    expect(exhausted(attempts(...outcomes))).toMatchObject({ status, code })
  })

  it('says who was not asked for want of retries, which proves nothing missing', () => {
    const cut = attempts('missing', 'retry-budget')
    expect([allMissing(cut), exhausted(cut).detail]).toEqual([false, 'o0: missing, o1: retry-budget'])
  })
})
