import { MillraceError } from '@millrace/common/errors'
import type { Logger } from '@millrace/common/log'
import type { Kysely } from 'kysely'
import type { OriginConfig } from '../config.js'
import { deleteRevision, listAttempts, listRevisions } from '../db/asset-store.js'
import type { Database } from '../db/schema.js'
import { dueSweeps, finishSweep, type Sweep } from '../db/sweep-store.js'
import { findRun, findVideo } from '../db/video-store.js'
import type { OriginClient } from '../nodes/origin-client.js'
import { planSweep } from './plan.js'

/** How long a sweep waits that its origin would not do: it may be busy with that very revision. */
const REFUSED_MS = 10_000

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
  const { origins, isHealthy } = options
  await Promise.all(origins.filter((origin) => isHealthy(origin.id)).map((origin) => sweepOrigin(options, origin)))
}

async function sweepOrigin(options: SweeperOptions, origin: OriginConfig): Promise<void> {
  const { db, now, log } = options
  for (const sweep of await dueSweeps(db, origin.id, now())) {
    try {
      await sweepOne(options, origin, sweep)
    } catch (error) {
      log.warn({ err: error, origin: origin.id, videoId: sweep.video_id }, 'origin not swept; it will be tried again')
      // An origin that doesn't answer would not answer the others either.
      if (!(error instanceof MillraceError) || error.code === 'unreachable') return
      await finishSweep(db, sweep, new Date(now().getTime() + REFUSED_MS))
    }
  }
}

async function sweepOne(options: SweeperOptions, origin: OriginConfig, sweep: Sweep): Promise<void> {
  const { db, client, supersededGraceMs, now, onRemoved, log } = options
  const holdings = await client.holdings(origin, sweep.video_id)
  // Read after the holdings: whatever was there by then is judged by what is known by now.
  const known = await readKnowledge(db, sweep.video_id)
  if (!known) return
  const { video, run, assets, attempts } = known
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

/** All at one moment: a revision that is published between two reads would look like nobody's. */
function readKnowledge(db: Kysely<Database>, videoId: string) {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      const video = await findVideo(tx, videoId)
      if (!video) return undefined
      return {
        video,
        run: await findRun(tx, videoId, video.run),
        assets: await listRevisions(tx, videoId),
        attempts: await listAttempts(tx, videoId),
      }
    })
}
