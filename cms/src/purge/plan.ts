import { attemptOf, revOf } from '@millrace/common/contracts/ids'
import type { VideoHoldings } from '@millrace/common/contracts/origin-api'
import type { AssetRow, AttemptRow, VideoRow } from '../db/schema.js'

export interface SweepPlan {
  /** Revisions to delete there. */
  remove: string[]
  /** When to look again; absent: nothing more will be to do. */
  again?: Date
}

/** A transcoder that was told to stop may still write for a moment: how soon to look again, in milliseconds. */
const AFTERMATH_MS = 5000

/**
 * What an origin may forget of a video. Kept: the revision that plays, replaced ones in their grace, those of attempts that run, and
 * those of attempts that are not known yet. A deleted video keeps nothing, and is looked at until its attempts have ended.
 */
export function planSweep(
  video: Pick<VideoRow, 'state' | 'rev' | 'max_attempt'>,
  assets: readonly Pick<AssetRow, 'rev' | 'superseded_at'>[],
  attempts: readonly Pick<AttemptRow, 'attempt' | 'ended_at'>[],
  holdings: Pick<VideoHoldings, 'assets' | 'staged'>,
  runOpen: boolean,
  graceMs: number,
  now: Date,
): SweepPlan {
  const there = [...new Set([...holdings.assets.map((asset) => asset.rev), ...holdings.staged])]
  if (video.state === 'deleted') {
    return { remove: there, ...(runOpen && { again: new Date(now.getTime() + AFTERMATH_MS) }) }
  }
  const running = new Set(attempts.filter((attempt) => !attempt.ended_at).map((attempt) => revOf(attempt.attempt)))
  const graceEnds = assets.flatMap(({ rev, superseded_at }) => (superseded_at ? [{ rev, end: superseded_at.getTime() + graceMs }] : []))
  const inGrace = graceEnds.filter(({ end }) => end > now.getTime())
  const kept = (rev: string) =>
    rev === video.rev || running.has(rev) || attemptOf(rev) > video.max_attempt || inGrace.some((asset) => asset.rev === rev)
  return {
    remove: there.filter((rev) => !kept(rev)),
    ...(inGrace.length > 0 && { again: new Date(Math.min(...inGrace.map(({ end }) => end))) }),
  }
}
