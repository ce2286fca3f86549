import { LRUCache } from 'lru-cache'

const MAX_ENTRIES = 20_000

/** Remembered 404s, in RAM: which origins have said of which path that they don't have it. */
export class NegativeCache {
  readonly #missing: LRUCache<string, true>

  /** `now` in milliseconds. */
  constructor(ttlMs: number, now: () => number) {
    // lru-cache takes a ttl of 0 for "never expires".
    this.#missing = new LRUCache({ max: MAX_ENTRIES, ttl: Math.max(ttlMs, 1), ttlResolution: 0, perf: { now } })
  }

  add(hash: string, origins: readonly string[]): void {
    for (const origin of origins) this.#missing.set(`${hash} ${origin}`, true)
  }

  /** Whether each of these origins is known not to have it. Another route may name one that does, so the set counts. */
  covers(hash: string, origins: readonly string[]): boolean {
    return origins.every((origin) => this.#missing.has(`${hash} ${origin}`))
  }
}
