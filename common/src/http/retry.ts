import { setTimeout as delay } from 'node:timers/promises'
import { MillraceError } from '../errors.js'

export interface RetryOptions {
  attempts: number
  firstDelayMs: number
  maxDelayMs: number
  signal?: AbortSignal
  random?: () => number
  /** Told before each wait. */
  onRetry?: (error: unknown, attempt: number, delayMs: number) => void
}

/** Runs `work` again while it fails with something retryable; exponential, with full jitter. The last error is thrown. */
export async function retry<T>(options: RetryOptions, work: (attempt: number) => Promise<T>): Promise<T> {
  const random = options.random ?? Math.random
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt)
    } catch (error) {
      const retryable = error instanceof MillraceError ? error.retryable : true
      if (!retryable || attempt >= options.attempts || options.signal?.aborted) throw error
      const delayMs = random() * Math.min(options.maxDelayMs, options.firstDelayMs * 2 ** (attempt - 1))
      options.onRetry?.(error, attempt, delayMs)
      await delay(delayMs, undefined, options.signal ? { signal: options.signal } : undefined)
    }
  }
}
