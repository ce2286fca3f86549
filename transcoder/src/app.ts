import { hostname } from 'node:os'
import type { ListenAddress } from '@millrace/common/config/units'
import { GuardedClient } from '@millrace/common/http/guard'
import type { StopPhase } from '@millrace/common/lifecycle'
import type { Logger } from '@millrace/common/log'
import { startAdminServer } from '@millrace/common/metrics/admin-server'
import { Redis } from 'ioredis'
import { Agent } from 'undici'
import type { Config } from './config.js'
import { createMetrics, type Metrics } from './metrics.js'
import { preflight, workspaceWritable } from './preflight.js'
import { createOriginClient } from './publish/origin.js'
import { createPublisher } from './publish/publisher.js'
import { startWorkerQueue } from './queue/bee.js'
import { createCancelWatch } from './queue/cancel.js'
import { startHeartbeat } from './queue/heartbeat.js'
import { createLedger } from './queue/ledger.js'
import { createProgressReporter } from './queue/progress-reporter.js'
import { sourceOpener } from './steps/source-opener.js'
import { sweepWorkspace } from './steps/workspace.js'
import { createWorker } from './worker.js'

export interface App {
  admin: ListenAddress
  metrics: Metrics
  /** In stopping order; together less than ten seconds. */
  phases: StopPhase[]
}

/** Builds the whole service and starts taking jobs. */
export async function startApp(config: Config, log: Logger): Promise<App> {
  await preflight(config)
  const swept = await sweepWorkspace(config.workspace)
  if (swept.length > 0) log.info({ folders: swept }, 'leftovers of an earlier life removed')

  const metrics = createMetrics(config.id)
  const redis = connect(config.redis.url, log)
  const subscriber = connect(config.redis.url, log)
  // Before anything waits for Redis, so that readiness can tell about it.
  const admin = await startAdminServer({
    listen: config.admin.listen,
    registry: metrics.registry,
    ready: {
      redis: () => (redis.status === 'ready' ? undefined : `connection is ${redis.status}`),
      workspace: () => workspaceWritable(config.workspace).then(() => undefined),
    },
  })
  const guarded = new GuardedClient({
    allowPrivate: config.sources.allowPrivate,
    connectTimeoutMs: config.sources.connectTimeout,
    headersTimeoutMs: config.sources.headersTimeout,
    bodyTimeoutMs: config.sources.bodyTimeout,
    maxRedirects: config.sources.maxRedirects,
  })
  const cms = new Agent({ connect: { timeout: config.sources.connectTimeout } })
  const ledger = createLedger(redis, config.queue.finishedTtl)

  const worker = createWorker({
    transcoderId: config.id,
    ledger,
    cancels: await createCancelWatch(subscriber),
    progress: ({ videoId, rev }) => createProgressReporter(redis, log, { videoId, rev, transcoderId: config.id }),
    pipeline: {
      workspace: config.workspace,
      openSource: (source) => sourceOpener(source, config, guarded, cms),
      sourceAttempts: config.sources.attempts,
      sourceTimeoutMs: config.sources.timeout,
      probeTool: { probePath: config.ffmpeg.probePath, timeoutMs: config.ffmpeg.probeTimeout },
      encodeTool: { log, path: config.ffmpeg.path, nice: config.ffmpeg.nice, stallTimeoutMs: config.ffmpeg.stallTimeout },
      threads: config.ffmpeg.threads,
      publisher: createPublisher(createOriginClient(config.publish), metrics, log),
      log,
    },
    metrics,
    log,
    backoff: { firstMs: config.queue.backoff, maxMs: config.queue.maxBackoff },
  })

  const heartbeat = startHeartbeat({
    redis,
    log,
    transcoderId: config.id,
    host: hostname(),
    job: worker.current,
    onBeat: worker.checkCancelled,
  })
  const queue = await startWorkerQueue({
    redisUrl: config.redis.url,
    stallIntervalMs: config.queue.stallInterval,
    log,
    handle: worker.handle,
  })

  return {
    admin: admin.address,
    metrics,
    phases: [
      {
        name: 'give the job back',
        timeoutMs: 7000,
        run: () => {
          worker.stop()
          return queue.close(6500)
        },
      },
      { name: 'say goodbye', timeoutMs: 1000, run: () => heartbeat.stop() },
      {
        name: 'close connections',
        timeoutMs: 1000,
        run: async () => {
          redis.disconnect()
          subscriber.disconnect()
          await Promise.all([admin.close(), guarded.close(), cms.destroy()])
        },
      },
    ],
  }
}

/** Commands wait for a Redis that is away instead of failing: a finished job's result must not be lost to a restart. */
function connect(url: string, log: Logger): Redis {
  const redis = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: (times) => Math.min(100 * times, 1000) })
  redis.on('error', (error: Error) => log.warn({ err: error }, 'redis connection'))
  return redis
}
