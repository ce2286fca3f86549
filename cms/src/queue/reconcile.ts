import { type Heartbeat, heartbeatSchema } from '@millrace/common/contracts/events'
import { cancelKey, EVENT_STREAM, finishedKey, heartbeatKey } from '@millrace/common/contracts/redis'
import { jobId } from '@millrace/common/contracts/transcode-job'
import type { Logger } from '@millrace/common/log'
import type { Redis } from 'ioredis'
import type { OpenRun } from '../db/video-store.js'
import type { JobQueue } from './bee-queue.js'

/** A cancel that nobody took is forgotten after this; the reconciler renews it as long as the run is open. */
export const CANCEL_SECONDS = 7 * 86_400
/** Results lost this often, and the run has failed: something that can't be read is sent in their place. */
export const MAX_REQUEUES = 3

/** What is known of an open run from outside the database. */
export interface RunFacts {
  inQueue: boolean
  /** A transcoder says it works on it. */
  running: boolean
  /** Its final event was sent … */
  finished: boolean
  /** … and there is no event left to read. */
  streamEmpty: boolean
}

export type RunAction = 'none' | 'enqueue' | 'enqueue-anew' | 'end-cancelled' | 'fail-lost'

/** What an open run needs. Rows are the truth; the queue and the events follow them. */
export function runAction(run: Pick<OpenRun, 'cancel_requested_at' | 'requeues' | 'state'>, facts: RunFacts): RunAction {
  if (facts.inQueue || facts.running) return 'none'
  // Its event was sent with this mark, in one transaction: it will be read.
  if (facts.finished && !facts.streamEmpty) return 'none'
  if (run.cancel_requested_at || run.state === 'deleted') return 'end-cancelled'
  if (!facts.finished) return 'enqueue'
  return run.requeues < MAX_REQUEUES ? 'enqueue-anew' : 'fail-lost'
}

export interface ReconcilerOptions {
  redis: Redis
  queue: JobQueue
  openRuns: () => Promise<OpenRun[]>
  /** The run as it is by now; undefined when it has ended. */
  reread: (run: OpenRun) => Promise<OpenRun | undefined>
  enqueue: (run: OpenRun) => Promise<void>
  /** The job's mark of being finished is gone; the run counts one more requeue. */
  requeued: (run: OpenRun) => Promise<void>
  endRun: (run: OpenRun, how: 'cancelled' | 'lost') => Promise<void>
  log: Logger
}

/** One round over the open runs: closes the gap between rows and queue, also after Redis lost everything. */
export async function reconcileQueue(options: ReconcilerOptions): Promise<void> {
  const { redis, queue, log } = options
  const runs = await options.openRuns()
  if (runs.length === 0) return
  const working = new Set((await readHeartbeats(redis)).map((beat) => beat.job?.jobId))
  for (const run of runs) {
    const id = jobId(run.video_id, run.run)
    if (run.cancel_requested_at) await redis.set(cancelKey(id), '1', 'EX', CANCEL_SECONDS)
    // In this order: the mark is set before the job leaves the queue, and the stream is read after the mark.
    const inQueue = await queue.has(id)
    const finished = (await redis.exists(finishedKey(id))) === 1
    const facts = { inQueue, running: working.has(id), finished, streamEmpty: (await redis.xlen(EVENT_STREAM)) === 0 }
    if (runAction(run, facts) === 'none') continue
    // The row is read again after the facts: its last event, or a wish to cancel, may have come in between.
    const current = await options.reread(run)
    const action = current ? runAction(current, facts) : 'none'
    if (!current || action === 'none') continue
    log.warn({ jobId: id, action }, 'a run had lost its job')
    if (action === 'end-cancelled') await options.endRun(current, 'cancelled')
    else if (action === 'fail-lost') await options.endRun(current, 'lost')
    else {
      if (action === 'enqueue-anew') {
        await redis.del(finishedKey(id))
        await options.requeued(current)
      }
      await options.enqueue(current)
    }
  }
}

/** The transcoders that beat. */
export async function readHeartbeats(redis: Redis): Promise<Heartbeat[]> {
  const keys: string[] = []
  let cursor = '0'
  do {
    const [next, found] = await redis.scan(cursor, 'MATCH', heartbeatKey('*'), 'COUNT', 500)
    keys.push(...found)
    cursor = next
  } while (cursor !== '0')
  if (keys.length === 0) return []
  const texts = await redis.mget([...new Set(keys)])
  return texts.flatMap((text) => parseHeartbeat(text) ?? [])
}

/** What isn't one is nobody's beat. */
function parseHeartbeat(text: string | null): Heartbeat | undefined {
  try {
    return text === null ? undefined : heartbeatSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
