import { describe, expect, it } from 'vitest'
import { planSweep } from './plan.js'

const now = new Date('2026-01-01T00:00:00Z')
const hour = 3_600_000
const held = (...revs: string[]) =>
  revs.map((rev) => ({ videoId: '0'.repeat(26), rev, bytes: 1, committedAt: now.toISOString(), assetSha256: '0'.repeat(64), live: true }))
const video = { state: 'ready' as const, rev: 'r3', max_attempt: 3 }

describe('what an origin may forget', () => {
  it('is a dead attempt, staged or committed', () => {
    const plan = planSweep(video, [{ rev: 'r3', superseded_at: null }], [], { assets: held('r2', 'r3'), staged: ['r1'] }, false, hour, now)
    expect(plan).toEqual({ remove: ['r2', 'r1'] })
  })

  it('is not an attempt that runs, nor one that is not known yet', () => {
    const attempts = [{ attempt: 3, ended_at: null }]
    const plan = planSweep(
      { state: 'transcoding', rev: null, max_attempt: 3 },
      [],
      attempts,
      { assets: [], staged: ['r3', 'r4', 'r2'] },
      true,
      hour,
      now,
    )
    expect(plan).toEqual({ remove: ['r2'] })
  })

  it('is a replaced revision only after its grace', () => {
    const assets = [
      { rev: 'r2', superseded_at: new Date(now.getTime() - hour / 2) },
      { rev: 'r3', superseded_at: null },
    ]
    const there = { assets: held('r2', 'r3'), staged: [] }
    expect(planSweep(video, assets, [], there, false, hour, now)).toEqual({ remove: [], again: new Date(now.getTime() + hour / 2) })
    expect(planSweep(video, assets, [], there, false, hour, new Date(now.getTime() + hour))).toEqual({ remove: ['r2'] })
  })

  it('is everything of a deleted video, looked at again until its run has ended', () => {
    const deleted = { ...video, state: 'deleted' as const }
    const there = { assets: held('r3'), staged: ['r3', 'r4'] }
    expect(planSweep(deleted, [], [], there, false, hour, now)).toEqual({ remove: ['r3', 'r4'] })
    expect(planSweep(deleted, [], [], there, true, hour, now).again?.getTime()).toBeGreaterThan(now.getTime())
  })
})
