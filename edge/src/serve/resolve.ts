import { type MediaClass, mediaClass } from '@millrace/common/contracts/media-url'
import { LRUCache } from 'lru-cache'
import type { CachedGuard } from '../auth/route-token.js'
import { type CacheKey, cacheKey } from '../cache/key.js'
import { parseTarget, type Target } from '../http/target.js'

/** A URL that this edge serves, understood once: parsed, its signature checked, its key hashed. */
export interface Resolved extends Target {
  key: CacheKey
  class: MediaClass
  /** Unix milliseconds from which its signature counts no more. */
  expiresAt: number
}

/** Bounded; a few hundred bytes each. */
const MAX_REMEMBERED = 50_000

/** What was seen once, by a part of its key's hash: what shares a slot forgets one another. */
const SLOTS = 1 << 16

/**
 * Remembers URLs that were found good, when they are asked for again: where a million objects are asked for in turn, remembering each would
 * cost more than it saves, and drive out those that are asked for all the time.
 */
export class Resolver {
  readonly #guard: CachedGuard
  #skewMs: number
  readonly #known = new LRUCache<string, Resolved>({ max: MAX_REMEMBERED })
  readonly #seenOnce = new Uint32Array(SLOTS)

  constructor(guard: CachedGuard, skewMs: number) {
    this.#guard = guard
    this.#skewMs = skewMs
  }

  /** Only what was found good before and still is. */
  peek(path: string, now: number): Resolved | undefined {
    const known = this.#known.get(path)
    return known !== undefined && known.expiresAt > now ? known : undefined
  }

  /** @throws MillraceError, a refusal: `uri-too-long`, `bad-path`, `bad-route`, `not-found`, `route-…`. */
  resolve(path: string, now: number): Resolved {
    const known = this.peek(path, now)
    if (known) return known
    const target = parseTarget(path)
    const { route, media } = target
    const name = mediaClass(media)
    this.#guard.check(path.slice(1, path.indexOf('/', 1)), route, media.videoId, media.rev, name, Math.floor(now / 1000))
    // The guard is asked again when a signature could have expired.
    const expiresAt = route.signature ? route.signature.exp * 1000 + this.#skewMs : Number.POSITIVE_INFINITY
    const resolved = { ...target, key: cacheKey(target.path), class: name, expiresAt }
    if (expiresAt > now && this.#seenBefore(resolved.key.hash)) this.#known.set(path, resolved)
    return resolved
  }

  #seenBefore(hash: string): boolean {
    const slot = Number.parseInt(hash.slice(0, 4), 16)
    const rest = Number.parseInt(hash.slice(4, 12), 16)
    const before = this.#seenOnce[slot] === rest
    this.#seenOnce[slot] = rest
    return before
  }

  /** Keys, or what demands a signature, have changed: what was found good before is asked anew. */
  configure(skewMs: number): void {
    this.#skewMs = skewMs
    this.#known.clear()
  }
}
