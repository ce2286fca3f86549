import type { Progress } from '@millrace/common/contracts/events'
import { PROGRESS_CHANNEL, progressKey } from '@millrace/common/contracts/redis'
import type { Logger } from '@millrace/common/log'
import type { Redis } from 'ioredis'

/** What a stage says of itself. */
export type StageProgress = Pick<Progress, 'stage' | 'fraction' | 'speed' | 'etaSeconds' | 'bytes' | 'totalBytes'>

export interface ProgressReporter {
  /** At most one write per interval; a new stage at once, the newest state always in the end. */
  report(progress: StageProgress): void
  /** Takes the state away. */
  clear(): Promise<void>
}

const INTERVAL_MS = 250
const EXPIRY_SECONDS = 60

export function createProgressReporter(
  redis: Redis,
  log: Logger,
  job: Pick<Progress, 'videoId' | 'rev' | 'transcoderId'>,
): ProgressReporter {
  const key = progressKey(job.videoId)
  let pending: StageProgress | undefined
  let stage: string | undefined
  let timer: NodeJS.Timeout | undefined
  let closed = false
  let written: Promise<unknown> = Promise.resolve()

  const write = () => {
    const state = pending
    pending = undefined
    timer = undefined
    // Progress is worth nothing late: none is queued up for a Redis that is away.
    if (!state || closed || redis.status !== 'ready') return
    const text = JSON.stringify({ version: 1, ...job, ...state, at: new Date().toISOString() } satisfies Progress)
    written = redis
      .multi()
      .hset(key, 'state', text)
      .expire(key, EXPIRY_SECONDS)
      .publish(PROGRESS_CHANNEL, text)
      .exec()
      .catch((error: unknown) => log.debug({ err: error }, 'progress not written'))
    timer = setTimeout(write, INTERVAL_MS)
  }
  return {
    report(progress) {
      if (closed) return
      pending = progress
      if (progress.stage !== stage) {
        stage = progress.stage
        clearTimeout(timer)
        write()
      } else if (!timer) write()
    },
    async clear() {
      closed = true
      clearTimeout(timer)
      await written
      await redis.del(key)
    },
  }
}
