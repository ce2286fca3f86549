import { LRUCache } from 'lru-cache'
import { type BucketRate, bucketRate, taken, waitFor } from '../limits/token-bucket.js'

/** How a prefetch ended. */
export type Prefetched =
  /** No origin has it: beyond the last segment, mostly. */
  { kind: 'missing' } | { kind: 'fetched'; bytes: number } | { kind: 'failed' }

/** Assets never change, so what isn't there will hardly come; a replica that was late may. */
const MISSING_MS = 600_000
const MISSING_REMEMBERED = 16_384

/** The keeper's side of prefetching: how much of it may go on, so that viewers' own misses never wait behind guesses. */
export class PrefetchBudget {
  readonly #maxConcurrent: number
  readonly #rate: BucketRate
  readonly #now: () => number
  readonly #missing: LRUCache<string, true>
  #fullAt = 0
  #running = 0

  /**
   * @param options.rate bytes per second over all prefetches; their sizes are known only afterwards, so the last ones begun may overdraw it,
   *   and the next wait until that is paid back
   * @param options.now milliseconds of a clock that doesn't go back
   */
  constructor(options: { maxConcurrent: number; rate: number; now: () => number }) {
    this.#maxConcurrent = options.maxConcurrent
    this.#rate = bucketRate(options.rate, options.rate)
    this.#now = options.now
    this.#missing = new LRUCache({ max: MISSING_REMEMBERED, ttl: MISSING_MS, ttlResolution: 0, perf: { now: options.now } })
  }

  /** @returns false when this one is not to be fetched now; then there is nothing to end. */
  begin(path: string): boolean {
    if (this.#running >= this.#maxConcurrent || this.#missing.has(path)) return false
    if (waitFor(this.#rate, this.#fullAt, this.#now(), 1) > 0) return false
    this.#running++
    return true
  }

  end(path: string, result: Prefetched): void {
    this.#running--
    if (result.kind === 'missing') this.#missing.set(path, true)
    if (result.kind === 'fetched') this.#fullAt = taken(this.#rate, this.#fullAt, this.#now(), result.bytes)
  }

  get running(): number {
    return this.#running
  }
}
