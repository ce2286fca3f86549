import { LRUCache } from 'lru-cache'
import type { FillRequest, Keeper } from './contract.js'

export interface BackgroundLimits {
  /** Keys that this process has revalidated at once; what else is stale meanwhile is served as it is. */
  maxRunning: number
  /** What could not be revalidated is left alone for so long. */
  pauseMs: number
}

export const BACKGROUND_LIMITS: BackgroundLimits = { maxRunning: 128, pauseMs: 1000 }

/** Bounds what is remembered of keys that are left alone. */
const MAX_PAUSED = 20_000

/**
 * Revalidates what is served stale meanwhile (RFC 5861 §3): of all hits of one key one asks the keeper, so that the others neither count as
 * waiters of its fill nor begin one after another while origins fail.
 */
export class BackgroundRevalidation {
  readonly #keeper: Pick<Keeper, 'open'>
  readonly #limits: BackgroundLimits
  readonly #running = new Set<string>()
  readonly #paused: LRUCache<string, true>

  /** @param now of a clock that never goes back, in milliseconds */
  constructor(keeper: Pick<Keeper, 'open'>, limits: BackgroundLimits = BACKGROUND_LIMITS, now = () => performance.now()) {
    this.#keeper = keeper
    this.#limits = limits
    this.#paused = new LRUCache({ max: MAX_PAUSED, ttl: limits.pauseMs, ttlResolution: 0, perf: { now } })
  }

  /** Nobody waits for it, and the keeper reports what becomes of it. */
  revalidate(request: FillRequest): void {
    const { hash } = request.key
    if (this.#running.has(hash) || this.#running.size >= this.#limits.maxRunning || this.#paused.has(hash)) return
    this.#running.add(hash)
    this.#run(request)
      .catch(() => false)
      .then((confirmed) => {
        if (!confirmed) this.#paused.set(hash, true)
        this.#running.delete(hash)
      })
  }

  /** @returns whether what is stored is fresh again. A new body is not known to be stored: the pause gives it the time. */
  async #run(request: FillRequest): Promise<boolean> {
    const opened = await this.#keeper.open(request)
    if (opened.kind !== 'fill') return opened.kind === 'stored'
    const { fill } = opened
    const head = await fill.head
    if (head.kind === 'ready') await fill.progress(Number.MAX_SAFE_INTEGER)
    return head.kind === 'stored'
  }
}
