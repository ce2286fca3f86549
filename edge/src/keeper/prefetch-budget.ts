/** What became of a wish to fetch ahead; a metrics label. `pointless`: lately not there, or not to be stored. */
export const PREFETCH_OUTCOMES = ['started', 'stored', 'busy', 'over-budget', 'pointless'] as const
export type PrefetchOutcome = (typeof PREFETCH_OUTCOMES)[number]

export interface PrefetchLimits {
  /** Prefetches at once; 0 for none. */
  maxConcurrent: number
  /** What they may take from the origins, on average over a few seconds. */
  bytesPerSecond: number
}

/**
 * What guesses may cost. What a prefetch takes is known only when it has ended, so it may overdraw the budget, and the next ones wait until
 * that is paid.
 */
export class PrefetchBudget {
  readonly #limits: PrefetchLimits
  readonly #now: () => number
  #running = 0
  #tokens: number
  #filledAt: number

  /** `now` in milliseconds. */
  constructor(limits: PrefetchLimits, now: () => number) {
    this.#limits = limits
    this.#now = now
    this.#tokens = limits.bytesPerSecond
    this.#filledAt = now()
  }

  /** What hinders the next one; undefined for nothing. */
  hindrance(): 'busy' | 'over-budget' | undefined {
    if (this.#running >= this.#limits.maxConcurrent) return 'busy'
    const now = this.#now()
    const earned = (Math.max(0, now - this.#filledAt) / 1000) * this.#limits.bytesPerSecond
    this.#tokens = Math.min(this.#limits.bytesPerSecond, this.#tokens + earned)
    this.#filledAt = now
    return this.#tokens > 0 ? undefined : 'over-budget'
  }

  started(): void {
    this.#running++
  }

  ended(bytes: number): void {
    this.#running--
    this.#tokens -= bytes
  }
}
