import type { Logger } from '@millrace/common/log'
import type { Kysely } from 'kysely'
import type { OriginConfig } from '../config.js'
import { deleteRevision, listAttempts, listRevisions } from '../db/asset-store.js'
import type { Database } from '../db/schema.js'
import { askForSweeps, dueSweeps, finishSweep, type Sweep } from '../db/sweep-store.js'
import { findRun, findVideo } from '../db/video-store.js'
import type { OriginClient } from '../nodes/origin-client.js'
import { planSweep } from './plan.js'

export interface SweeperOptions {
  db: Kysely<Database>
  origins: OriginConfig[]
  client: OriginClient
  isHealthy: (originId: string) => boolean
  supersededGraceMs: number
  onRemoved: (revisions: number) => void
  now: () => Date
  log: Logger
}

/** One round of deletions at the origins that answer. A wish stays until its origin has done it: a tombstone. */
export async function sweepOrigins(options: SweeperOptions): Promise<void> {
  const { db, origins, isHealthy, now, log } = options
  const up = origins.filter((origin) => isHealthy(origin.id))
  const sweeps = await dueSweeps(
    db,
    up.map((origin) => origin.id),
    now(),
  )
  await Promise.all(
    up.map(async (origin) => {
      for (const sweep of sweeps.filter((other) => other.origin_id === origin.id)) {
        try {
          await sweepOne(options, origin, sweep)
        } catch (error) {
          // The others would meet the same; the wish stays and the next round tries again.
          log.warn({ err: error, origin: origin.id, videoId: sweep.video_id }, 'origin not swept')
          return
        }
      }
    }),
  )
}

async function sweepOne(options: SweeperOptions, origin: OriginConfig, sweep: Sweep): Promise<void> {
  const { db, client, supersededGraceMs, now, onRemoved, log } = options
  const holdings = await client.holdings(origin, sweep.video_id)
  // Read after the holdings: whatever was there by then is judged by what is known by now.
  const video = await findVideo(db, sweep.video_id)
  if (!video) return
  const run = await findRun(db, video.id, video.run)
  const assets = await listRevisions(db, video.id)
  const attempts = await listAttempts(db, video.id)
  const plan = planSweep(video, assets, attempts, holdings, run?.ended_at === null, supersededGraceMs, now())
  for (const rev of plan.remove) {
    await client.remove(origin, video.id, rev)
    log.info({ origin: origin.id, videoId: video.id, rev }, 'revision removed')
  }
  onRemoved(plan.remove.length)
  for (const asset of assets) {
    const over = asset.superseded_at && asset.superseded_at.getTime() + supersededGraceMs <= now().getTime()
    if (over && asset.rev !== video.rev) await deleteRevision(db, video.id, asset.rev)
  }
  await finishSweep(db, sweep, plan.again)
}

/** Says that a deleted or changed video is to be looked at on every origin. */
export function sweepEverywhere(db: Kysely<Database>, videoId: string, origins: OriginConfig[], now: Date): Promise<void> {
  return askForSweeps(
    db,
    videoId,
    origins.map((origin) => origin.id),
    now,
  )
}
