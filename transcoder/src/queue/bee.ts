import { createRequire } from 'node:module'
import { QUEUE_NAME } from '@millrace/common/contracts/redis'
import type { Logger } from '@millrace/common/log'
import BeeQueue from 'bee-queue'
import { plainRedisOptions } from './redis-options.js'

/** How a delivery of a job ends: gone from the queue, or delivered again after a wait (0: at once). */
export type Delivery = { again: false } | { again: true; delayMs: number; because: string }

export interface WorkerQueue {
  /** Stops taking; the running job's handler must end by itself. @throws when it hasn't within `timeoutMs`. */
  close: (timeoutMs: number) => Promise<void>
}

/** The part of node_redis's client that is used here; bee-queue makes it and keeps it on the queue. */
interface NodeRedisClient {
  on(event: 'ready', listener: () => void): void
}
interface JobOptions {
  retries?: number
  backoff?: { strategy: string; delay?: number }
}
const lua = createRequire(import.meta.url)('bee-queue/lib/lua') as { buildCache: (client: NodeRedisClient) => Promise<unknown> }

const LONGEST_RECONNECT_MS = 1000

/**
 * The one place that knows bee-queue: a worker that takes one job at a time. Its traps, each met below:
 * scripts are gone after a Redis restart; nobody looks for stalled jobs unless asked; retries are its own count (here: `handle`
 * decides, each time); delayed jobs wait for a message that a broken connection may lose, so they are also polled.
 */
export async function startWorkerQueue(options: {
  redisUrl: string
  stallIntervalMs: number
  log: Logger
  handle: (job: { id: string; data: unknown }) => Promise<Delivery>
}): Promise<WorkerQueue> {
  const { log } = options
  const queue = new BeeQueue<unknown>(QUEUE_NAME, {
    redis: {
      ...plainRedisOptions(options.redisUrl),
      retry_strategy: ({ attempt }: { attempt: number }) => Math.min(100 * attempt, LONGEST_RECONNECT_MS),
    },
    stallInterval: options.stallIntervalMs,
    nearTermWindow: options.stallIntervalMs,
    activateDelayedJobs: true,
    getEvents: false,
    sendEvents: false,
    storeJobs: false,
    removeOnSuccess: true,
    removeOnFailure: true,
  })
  // bee-queue goes on by itself after each of these; the job in question comes back by its stall check.
  queue.on('error', (error) => log.warn({ err: error }, 'queue connection'))
  queue.on('stalled', (jobId) => log.warn({ jobId }, 'a job lost its worker and is delivered again'))
  await queue.ready()
  const client = (queue as unknown as { client: NodeRedisClient }).client
  client.on('ready', () => {
    lua
      .buildCache(client)
      .catch((error: unknown) => log.error({ err: error }, 'queue scripts not loaded; the next reconnection tries again'))
  })

  queue.process(1, async (job) => {
    const delivery = await options.handle({ id: String(job.id), data: job.data }).catch((error: unknown): Delivery => {
      log.error({ err: error, jobId: job.id }, 'a job could not be reported on; it is delivered again')
      return { again: true, delayMs: options.stallIntervalMs, because: String(error) }
    })
    if (!delivery.again) return
    const jobOptions = job.options as JobOptions
    jobOptions.retries = 1
    jobOptions.backoff = delivery.delayMs > 0 ? { strategy: 'fixed', delay: delivery.delayMs } : { strategy: 'immediate' }
    throw new Error(delivery.because)
  })
  await queue.checkStalledJobs(options.stallIntervalMs)
  return { close: (timeoutMs) => queue.close(timeoutMs) }
}
