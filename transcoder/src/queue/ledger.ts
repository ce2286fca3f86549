import { type JobEvent, jobEventSchema } from '@millrace/common/contracts/events'
import { attemptKey, cancelKey, EVENT_FIELD, EVENT_STREAM, finishedKey, progressKey, takesKey } from '@millrace/common/contracts/redis'
import type { Redis } from 'ioredis'

export type Take =
  | { state: 'finished' }
  /** Cancelled before it began; the attempt is only for its event. */
  | { state: 'cancelled'; attempt: number }
  | { state: 'taken'; attempt: number; takes: number }

/** What Redis remembers about jobs. Each method is one atomic step, so a crash or a lost connection leaves no half of it. */
export interface Ledger {
  /** Mints the attempt: above every earlier one, and above `floor` even when Redis lost its counter. */
  take(jobId: string, videoId: string, floor: number): Promise<Take>
  /** A take that ended by no fault of the job doesn't count. */
  untake(jobId: string): Promise<void>
  isCancelled(jobId: string): Promise<boolean>
  announce(event: JobEvent): Promise<void>
  /** The job's last event. @returns false when another attempt ended the job before: nothing was sent. */
  finish(event: JobEvent): Promise<boolean>
}

const TAKE = `
if redis.call('exists', KEYS[1]) == 1 then return {'finished', 0, 0} end
local attempt = redis.call('incr', KEYS[4])
local floor = tonumber(ARGV[1])
if attempt <= floor then
  attempt = floor + 1
  redis.call('set', KEYS[4], attempt)
end
if redis.call('exists', KEYS[2]) == 1 then return {'cancelled', attempt, 0} end
local takes = redis.call('incr', KEYS[3])
redis.call('pexpire', KEYS[3], ARGV[2])
return {'taken', attempt, takes}`

const UNTAKE = `if redis.call('exists', KEYS[1]) == 1 then redis.call('decr', KEYS[1]) end return 1`

const FINISH = `
if not redis.call('set', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return 0 end
redis.call('xadd', KEYS[2], '*', ARGV[2], ARGV[3])
redis.call('del', KEYS[3], KEYS[4])
return 1`

/** @param ttlMs how long takes and ends are remembered. */
export function createLedger(redis: Redis, ttlMs: number): Ledger {
  return {
    async take(jobId, videoId, floor) {
      const keys = [finishedKey(jobId), cancelKey(jobId), takesKey(jobId), attemptKey(videoId)]
      const [state, attempt, takes] = (await redis.eval(TAKE, keys.length, ...keys, floor, ttlMs)) as [Take['state'], number, number]
      return { state, attempt, takes }
    },
    async untake(jobId) {
      await redis.eval(UNTAKE, 1, takesKey(jobId))
    },
    async isCancelled(jobId) {
      return (await redis.exists(cancelKey(jobId))) === 1
    },
    async announce(event) {
      await redis.xadd(EVENT_STREAM, '*', EVENT_FIELD, serialise(event))
    },
    async finish(event) {
      const keys = [finishedKey(event.jobId), EVENT_STREAM, takesKey(event.jobId), progressKey(event.videoId)]
      return (await redis.eval(FINISH, keys.length, ...keys, ttlMs, EVENT_FIELD, serialise(event))) === 1
    },
  }
}

function serialise(event: JobEvent): string {
  return JSON.stringify(jobEventSchema.parse(event))
}
