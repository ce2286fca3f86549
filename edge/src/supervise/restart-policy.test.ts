import { describe, expect, it } from 'vitest'
import { type Death, decideRestart, RESTART_LIMITS } from './restart-policy.js'

const deaths = (count: number, every: number, wasReady = false): Death[] =>
  Array.from({ length: count }, (_, index) => ({ at: index * every, wasReady }))

describe('a child that died', () => {
  it('is given up after ten deaths within a minute, none of which it was ready before', () => {
    expect(decideRestart(deaths(10, 5000), RESTART_LIMITS)).toEqual({ kind: 'give-up' })
    expect(decideRestart(deaths(9, 5000), RESTART_LIMITS)).toMatchObject({ kind: 'restart' })
    expect(decideRestart(deaths(10, 10_000), RESTART_LIMITS)).toMatchObject({ kind: 'restart' })
  })

  it('is never given up while it gets ready in between', () => {
    const once = deaths(10, 1000)
    once[4] = { at: 4000, wasReady: true }
    expect(decideRestart(once, RESTART_LIMITS)).toEqual({ kind: 'restart', afterMs: 5000 })
  })

  it('comes back at once the first time, then more and more slowly, and again at once after a quiet minute', () => {
    const waits = [1, 2, 3, 4, 8].map((count) => decideRestart(deaths(count, 100, true), RESTART_LIMITS))
    expect(waits).toEqual([0, 100, 200, 400, 5000].map((afterMs) => ({ kind: 'restart', afterMs })))
    const quiet = [...deaths(5, 100, true), { at: 70_000, wasReady: true }]
    expect(decideRestart(quiet, RESTART_LIMITS)).toEqual({ kind: 'restart', afterMs: 0 })
  })
})
