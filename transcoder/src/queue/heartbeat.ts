import type { Heartbeat } from '@millrace/common/contracts/events'
import { heartbeatKey } from '@millrace/common/contracts/redis'
import type { Logger } from '@millrace/common/log'
import type { Redis } from 'ioredis'

export const BEAT_MS = 2000
const BEATS_TO_LIVE = 4

export interface HeartbeatOptions {
  redis: Redis
  log: Logger
  transcoderId: string
  host: string
  /** What is worked on now. */
  job: () => Heartbeat['job']
  /** Further things to look after at each beat. */
  onBeat: () => Promise<void>
}

/** Says every few seconds that this transcoder lives, and on what it works. The key goes with the service, or expires. */
export function startHeartbeat(options: HeartbeatOptions): { stop: () => Promise<void> } {
  const { redis, transcoderId } = options
  const key = heartbeatKey(transcoderId)
  const startedAt = new Date().toISOString()
  const beat = async () => {
    if (redis.status !== 'ready') return
    const job = options.job()
    const state: Heartbeat = { version: 1, transcoderId, host: options.host, startedAt, at: new Date().toISOString(), ...(job && { job }) }
    await redis.set(key, JSON.stringify(state), 'PX', BEAT_MS * BEATS_TO_LIVE)
    await options.onBeat()
  }
  const safely = () => {
    beat().catch((error: unknown) => options.log.warn({ err: error }, 'heartbeat missed; the next one follows'))
  }
  safely()
  const timer = setInterval(safely, BEAT_MS)
  return {
    async stop() {
      clearInterval(timer)
      await redis.del(key)
    },
  }
}
