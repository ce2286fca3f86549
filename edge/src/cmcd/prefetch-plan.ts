import { LRUCache } from 'lru-cache'
import type { Cmcd } from './cmcd.js'
import { type MediaRequest, namedNext, numberedNext } from './prefetch.js'

/** Viewers of one video ask for the same things within seconds of each other. */
const REMEMBERED = 8192
const REMEMBERED_MS = 30_000

/** A worker's side of prefetching: what to ask the keeper for, and not again for every viewer. */
export class PrefetchPlan {
  readonly #next: boolean
  readonly #proposed: LRUCache<string, true>

  /**
   * @param options.next whether the following fragment is fetched for players that name none
   * @param options.now milliseconds of a clock that doesn't go back
   */
  constructor(options: { next: boolean; now: () => number }) {
    this.#next = options.next
    this.#proposed = new LRUCache({
      max: REMEMBERED,
      ttl: REMEMBERED_MS,
      ttlResolution: 0,
      perf: { now: options.now },
    })
  }

  /**
   * The data path to fetch ahead after this request; undefined when there is none, or it was proposed a short while ago.
   *
   * @param cmcd of this request, where it was read
   * @param allowed whether this client would get that path: what one may not have, another one may
   */
  propose(request: MediaRequest, cmcd: Cmcd | undefined, allowed: (path: string) => boolean): string | undefined {
    const named = cmcd?.next === undefined ? undefined : namedNext(request, cmcd.next)
    const path = named ?? (this.#next ? numberedNext(request) : undefined)
    if (path === undefined || this.#proposed.has(path) || !allowed(path)) return undefined
    this.#proposed.set(path, true)
    return path
  }
}
