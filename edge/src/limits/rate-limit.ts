import { LRUCache } from 'lru-cache'
import { type BucketRate, bucketRate, taken, waitFor } from './token-bucket.js'

/** One bucket is about 100 bytes with its key. */
const MAX_CLIENTS = 100_000

interface Bucket {
  fullAt: number
}

/**
 * Requests per second and client. The table is bounded: beyond it the client that has been silent longest is forgotten, which gives it a
 * full bucket back, and nobody else.
 */
export class RateLimit {
  #rate: BucketRate
  readonly #buckets: LRUCache<string, Bucket>

  constructor(limits: { requestsPerSecond: number; requestBurst: number }, maxClients = MAX_CLIENTS) {
    this.#rate = bucketRate(limits.requestsPerSecond, limits.requestBurst)
    this.#buckets = new LRUCache({ max: maxClients })
  }

  /** New limits for old clients. */
  configure(limits: { requestsPerSecond: number; requestBurst: number }): void {
    this.#rate = bucketRate(limits.requestsPerSecond, limits.requestBurst)
    this.#buckets.clear()
  }

  /**
   * @param key of `rateKey`
   * @param now milliseconds of a clock that doesn't go back
   * @returns 0 when the request may go on; else whole seconds after which it may, for Retry-After. A refused request costs nothing.
   */
  allow(key: string, now: number, cost = 1): number {
    let bucket = this.#buckets.get(key)
    if (!bucket) {
      bucket = { fullAt: 0 }
      this.#buckets.set(key, bucket)
    }
    const wait = waitFor(this.#rate, bucket.fullAt, now, cost)
    if (wait > 0) return Math.ceil(wait / 1000)
    bucket.fullAt = taken(this.#rate, bucket.fullAt, now, cost)
    return 0
  }

  get clients(): number {
    return this.#buckets.size
  }
}
