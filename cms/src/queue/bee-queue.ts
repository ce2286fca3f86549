import { createRequire } from 'node:module'
import { QUEUE_NAME } from '@millrace/common/contracts/redis'
import type { TranscodeJob } from '@millrace/common/contracts/transcode-job'
import { MillraceError } from '@millrace/common/errors'
import { retry } from '@millrace/common/http/retry'
import type { Logger } from '@millrace/common/log'
import BeeQueue from 'bee-queue'
import { SILENCE_MS } from '../redis.js'

/** What the CMS needs of a queue. */
export interface JobQueue {
  /** Puts a job on the queue; false when a job of that id is there already. */
  add: (id: string, job: TranscodeJob) => Promise<boolean>
  has: (id: string) => Promise<boolean>
  remove: (id: string) => Promise<void>
  depth: () => Promise<{ waiting: number; active: number; delayed: number }>
  close: () => Promise<void>
}

/** The parts of bee-queue's Redis client (node_redis) that we touch. */
interface Client {
  on: (event: 'ready', listener: () => void) => void
  stream: { destroy: () => void }
}
// Reads bee-queue's scripts into Redis; not part of its API, hence not of its types.
const scripts: { buildCache: (client: Client) => Promise<unknown> } = createRequire(import.meta.url)('bee-queue/lib/lua')

/**
 * bee-queue's sending side, and the only file that knows it.
 *
 * It takes plain connection options only. After a Redis restart its scripts are gone and every command fails with NOSCRIPT until they
 * are loaded again: on each `ready`, and before the retry of a failed call. Its client waits for ever for an answer; we don't.
 */
export async function openQueue(redisUrl: string, log: Logger): Promise<JobQueue> {
  const queue = new BeeQueue<TranscodeJob>(QUEUE_NAME, {
    redis: connectionOptions(redisUrl),
    isWorker: false,
    getEvents: false,
    storeJobs: false,
    removeOnSuccess: true,
    removeOnFailure: true,
    autoConnect: false,
  })
  queue.on('error', (error) => log.warn({ err: error }, 'queue connection'))
  await queue.connect()
  const client = (queue as unknown as { client: Client }).client
  const load = () => scripts.buildCache(client)
  client.on('ready', () => {
    load().catch((error: Error) => log.warn({ err: error }, 'queue scripts not loaded; the next call tries again'))
  })

  /** A connection that gives no answer is closed: the client makes another. */
  const inTime = async <T>(work: Promise<T>): Promise<T> => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        client.stream.destroy()
        reject(new Error(`no answer within ${SILENCE_MS} ms`))
      }, SILENCE_MS)
    })
    return Promise.race([work, late]).finally(() => clearTimeout(timer))
  }
  const attempt = <T>(work: () => Promise<T>) =>
    retry({ attempts: 3, firstDelayMs: 50, maxDelayMs: 500 }, async () => {
      try {
        return await inTime(work())
      } catch (error) {
        if ((error as Error).message.includes('NOSCRIPT')) await inTime(load())
        throw new MillraceError(`the queue does not answer: ${(error as Error).message}`, {
          code: 'queue-unavailable',
          source: 'internal',
          retryable: true,
          status: 503,
          cause: error,
        })
      }
    })

  return {
    add: (id, data) =>
      attempt(async () => {
        // Whether and when a failed job is tried again is the transcoder's decision: it knows what failed.
        const saved = await queue.createJob(data).setId(id).save()
        return saved.id !== null
      }),
    has: (id) => attempt(async () => (await queue.getJob(id)) !== null),
    remove: (id) => attempt(() => queue.removeJob(id)).then(() => undefined),
    depth: () =>
      attempt(async () => {
        const { waiting, active, delayed } = await queue.checkHealth()
        return { waiting, active, delayed }
      }),
    close: () => queue.close(2000),
  }
}

/** node_redis options. Without an offline queue a call fails at once while Redis is away, and the caller decides. */
export function connectionOptions(redisUrl: string) {
  const url = new URL(redisUrl)
  const db = Number(url.pathname.slice(1) || 0)
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port || 6379),
    db,
    ...(url.password && { password: decodeURIComponent(url.password) }),
    ...(url.username && { user: decodeURIComponent(url.username) }),
    ...(url.protocol === 'rediss:' && { tls: {} }),
    enable_offline_queue: false,
    retry_strategy: ({ attempt }: { attempt: number }) => Math.min(attempt * 100, 1000),
  }
}
