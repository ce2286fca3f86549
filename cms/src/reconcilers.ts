import type { Logger } from '@millrace/common/log'
import type { Redis } from 'ioredis'
import type { Kysely } from 'kysely'
import type { CmsConfig } from './config.js'
import type { Database, Source } from './db/schema.js'
import { findOpenRun, openRuns, updateRun } from './db/video-store.js'
import { Loop } from './loop.js'
import type { LOOPS, Metrics } from './metrics.js'
import type { OriginClient } from './nodes/origin-client.js'
import type { Replicator } from './placement/reconcile.js'
import { sweepOrigins } from './purge/sweep.js'
import type { JobQueue } from './queue/bee-queue.js'
import { reconcileQueue } from './queue/reconcile.js'
import type { Sources } from './upload/sources.js'
import type { VideoService } from './videos/service.js'

const TIDY_EVERY_MS = 3_600_000

export interface ReconcilerDeps {
  config: CmsConfig
  db: Kysely<Database>
  redis: Redis
  queue: JobQueue
  client: OriginClient
  isHealthy: (originId: string) => boolean
  videos: VideoService
  replicator: Replicator
  sources: Sources
  findSource: (videoId: string) => Promise<Source | undefined>
  metrics: Metrics
  now: () => Date
  log: Logger
}

/** The loops that bring queue, replicas, origins and files in line with the rows, whatever was missed meanwhile. */
export function createReconcilers(deps: ReconcilerDeps): Record<(typeof LOOPS)[number], Loop> {
  const { config, db, redis, queue, client, isHealthy, videos, replicator, sources, findSource, metrics, now, log } = deps
  const { origins } = config
  const loop = (name: (typeof LOOPS)[number], run: () => Promise<void>, everyMs = config.jobs.reconcileEvery) =>
    new Loop({
      run,
      everyMs,
      onError: (error) => {
        metrics.loopFailures.inc({ loop: name })
        log.error({ err: error, loop: name }, 'round failed; the next one tries again')
      },
    })
  return {
    queue: loop('queue', () =>
      reconcileQueue({
        redis,
        queue,
        openRuns: () => openRuns(db),
        reread: (run) => findOpenRun(db, run.video_id, run.run),
        enqueue: (run) => videos.enqueue(run),
        requeued: (run) => updateRun(db, run.video_id, run.run, { requeues: run.requeues + 1 }),
        endRun: async (run, how) => {
          await videos.endRun(run.video_id, run.run, how)
        },
        log,
      }),
    ),
    replicas: loop('replicas', () => replicator.round()),
    sweeps: loop('sweeps', () =>
      sweepOrigins({
        db,
        origins,
        client,
        isHealthy,
        supersededGraceMs: config.playback.supersededGrace,
        onRemoved: (revisions) => metrics.revisionsRemoved.inc(revisions),
        now,
        log,
      }),
    ),
    sources: loop(
      'sources',
      async () => {
        const removed = await sources.tidy(async (id) => (await findSource(id)) !== undefined, Date.now())
        if (removed.length > 0) log.info({ files: removed.length }, 'leftovers of uploads removed')
      },
      TIDY_EVERY_MS,
    ),
  }
}
