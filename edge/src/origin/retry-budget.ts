export interface RetryBudgetOptions {
  /** Retries per request that is sent for the first time. */
  ratio: number
  /** Retries that are always allowed, for an edge with few requests. */
  minPerSecond: number
  /** Retries that may be saved up, and are there at the start. */
  burst: number
  /** Milliseconds. */
  now: () => number
}

/**
 * A token bucket that bounds what retries add to the load of origins that are failing already: first attempts put in, retries take out.
 * First attempts are never refused. When one origin of several dies, everything that runs there needs a retry in the same moment, before its
 * circuit opens: that is what the burst is for, also of a process that has just begun.
 */
export class RetryBudget {
  readonly #options: RetryBudgetOptions
  readonly #capacity: number
  /** What time alone fills up to: one second's floor, but a whole retry where that is less. */
  readonly #floor: number
  #tokens: number
  #refilledAt: number

  constructor(options: RetryBudgetOptions) {
    this.#options = options
    this.#floor = options.minPerSecond > 0 ? Math.max(1, options.minPerSecond) : 0
    const any = options.ratio > 0 || options.minPerSecond > 0
    this.#capacity = any ? Math.max(this.#floor, options.burst) : 0
    this.#tokens = this.#capacity
    this.#refilledAt = options.now()
  }

  /** A request is sent for the first time. */
  deposit(): void {
    this.#tokens = Math.min(this.#capacity, this.#tokens + this.#options.ratio)
  }

  /**
   * @param reserve share of one second's floor that must stay for others
   * @returns whether a retry may be sent
   */
  take(reserve = 0): boolean {
    this.#refill()
    if (this.#tokens - 1 < reserve * this.#options.minPerSecond) return false
    this.#tokens--
    return true
  }

  #refill(): void {
    const { minPerSecond, now } = this.#options
    const time = now()
    const elapsed = Math.max(0, time - this.#refilledAt)
    this.#refilledAt = time
    if (this.#tokens < this.#floor) this.#tokens = Math.min(this.#floor, this.#tokens + (elapsed * minPerSecond) / 1000)
  }
}
