import { describe, expect, it } from 'vitest'
import { isFull, planReplicas, pullBackoff } from './plan.js'

const now = new Date(1_000_000)
const later = new Date(1_000_001)
const held = (origin_id: string) => ({ origin_id, state: 'held' as const, retry_at: now })
const failed = (origin_id: string, retry_at = now) => ({ origin_id, state: 'failed' as const, retry_at })
const ranked = ['o2', 'o1', 'o3']
const all = () => true

describe('where replicas are missing', () => {
  it('is at the next of the placement list', () => {
    expect(planReplicas(ranked, [held('o1')], all, 2, now)).toEqual({ wanted: ['o2'], due: ['o2'] })
  })

  it('stays at an origin that is down, but it is not its turn', () => {
    expect(planReplicas(ranked, [held('o1'), failed('o2')], (id) => id !== 'o2', 2, now)).toEqual({ wanted: ['o2'], due: [] })
  })

  it('waits after a failure', () => {
    expect(planReplicas(ranked, [held('o1'), failed('o2', later)], all, 2, now).due).toEqual([])
    expect(planReplicas(ranked, [held('o1'), failed('o2', later)], all, 2, later).due).toEqual(['o2'])
  })

  it('is nowhere when a stand-in holds what another should', () => {
    expect(planReplicas(ranked, [held('o1'), held('o3'), failed('o2')], all, 2, now)).toEqual({ wanted: [], due: [] })
  })

  it('does not count origins that are no longer in the fleet', () => {
    expect(planReplicas(['o1', 'o3'], [held('o9'), held('o1')], all, 2, now)).toEqual({ wanted: ['o3'], due: ['o3'] })
  })

  it('is told by the held copies in the fleet alone', () => {
    expect(isFull(['o1', 'o2'], [held('o1'), failed('o2')], 2)).toBe(false)
    expect(isFull(['o1', 'o2'], [held('o1'), held('o9')], 2)).toBe(false)
    expect(isFull(['o1', 'o2'], [held('o1'), held('o2')], 2)).toBe(true)
  })

  it('waits longer after each failure, five minutes at most', () => {
    expect([1, 2, 3, 20].map(pullBackoff)).toEqual([2000, 4000, 8000, 300_000])
  })
})
