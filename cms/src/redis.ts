import { MillraceError } from '@millrace/common/errors'
import type { Logger } from '@millrace/common/log'
import { Redis } from 'ioredis'

const REDIS_START_MS = 15_000
/** A connection on which an answer takes longer is dead: a host without power closes nothing. Blocking reads end sooner. */
export const SILENCE_MS = 5000

/**
 * The connection for commands: they fail within seconds while Redis is away.
 *
 * @throws MillraceError `redis-unavailable` when it doesn't answer at the start.
 */
export async function connectRedis(url: string, log: Logger): Promise<Redis> {
  const redis = quiet(
    new Redis(url, {
      maxRetriesPerRequest: 2,
      commandTimeout: SILENCE_MS,
      socketTimeout: SILENCE_MS,
      retryStrategy: (times) => Math.min(times * 100, 1000),
    }),
    log,
  )
  const end = Date.now() + REDIS_START_MS
  for (;;) {
    try {
      await redis.ping()
      return redis
    } catch (error) {
      if (Date.now() < end) continue
      redis.disconnect()
      throw new MillraceError('redis does not answer', { code: 'redis-unavailable', source: 'internal', retryable: true, cause: error })
    }
  }
}

/** Broken connections are repaired by the client; without a listener it prints each failure. */
export function quiet(redis: Redis, log: Logger): Redis {
  return redis.on('error', (error) => log.warn({ err: error }, 'redis connection'))
}
