export interface RetryBudgetOptions {
  /** Retries per request that is sent for the first time. */
  ratio: number
  /** Retries that are always allowed, for an edge with few requests. */
  minPerSecond: number
  /** Milliseconds. */
  now: () => number
}

/** How many seconds of the floor may be saved up: what a sudden outage can spend at once. */
const BURST_SECONDS = 10

/**
 * A token bucket that bounds what retries add to the load of origins that are failing already: first attempts put in, retries take out.
 * First attempts are never refused.
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
    this.#capacity = Math.max(1, options.minPerSecond) * BURST_SECONDS
    this.#floor = options.minPerSecond > 0 ? Math.max(1, options.minPerSecond) : 0
    this.#tokens = this.#floor
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
