import { describe, expect, it } from 'vitest'
import { type Attempt, exhausted, isFailure, outcomeOf } from './fallback.js'

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
    expect(outcomeOf(status, [200])).toBe(outcome)
    expect(isFailure(outcome)).toBe(failure)
  })
})

describe('exhausted', () => {
  const of = (...outcomes: Attempt['outcome'][]) => exhausted(outcomes.map((outcome, index) => ({ origin: `o${index}`, outcome })))
  it.each([
    [['missing', 'missing'], 404, 'not-found'],
    [['missing', 'unreachable'], 502, 'origins-failed'],
    [['missing', 'timeout'], 504, 'origins-timeout'],
    [['timeout', 'server-error'], 502, 'origins-failed'],
    [['rejected'], 502, 'origins-failed'],
  ] as const)('answers %j with %i %s', (outcomes, status, code) => {
    expect(of(...outcomes)).toMatchObject({ status, code })
  })
})
