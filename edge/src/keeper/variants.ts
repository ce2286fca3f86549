import { LRUCache } from 'lru-cache'
import type { EntryMeta } from '../cache/entry-meta.js'
import { type CacheKey, cacheKey } from '../cache/key.js'
import type { CacheStore } from '../cache/store.js'
import type { Upstream } from './contract.js'
import type { Variants } from './policy-contract.js'

/** Under what key a response is stored, and by which request fields it varies. */
export interface Target {
  key: CacheKey
  /** Empty for a response that is the same for everyone; then `key` is the resource's own. */
  varies: string[]
  base: CacheKey
}

/** Characters of a key in an entry's head. */
const MAX_KEY = 2500

/** The key of a variant: neither an origin id, nor a URL, nor what selects a variant contains a space. */
export function variantKey(base: CacheKey, text: string): CacheKey {
  return cacheKey(`${base.text} ${text}`)
}

/** The key of the resource itself, `<origin id> <path and query>`, whatever variant was asked for. */
export function baseKey(key: CacheKey): CacheKey {
  const end = key.text.indexOf(' ', key.text.indexOf(' ') + 1)
  return end < 0 ? key : cacheKey(key.text.slice(0, end))
}

/** @returns undefined for a response that varies by more than a key can hold. */
export function targetOf(asked: CacheKey, upstream: Upstream, vary: string | undefined, variants: Variants): Target | undefined {
  // Whatever media may vary by, the edge asks alike for everyone.
  if (upstream.mode === 'media') return { key: asked, varies: [], base: asked }
  const base = baseKey(asked)
  const varies = variants.varyNames(vary)
  if (!varies) return undefined
  if (varies.length === 0) return { key: base, varies, base }
  const text = variants.variantText(varies, upstream.headers)
  const key = text === undefined ? undefined : variantKey(base, text)
  return key && key.text.length <= MAX_KEY ? { key, varies, base } : undefined
}

interface Shelf {
  varies: string
  /** Oldest first. */
  hashes: string[]
}

/** A resource whose clients send ever new values must not fill the cache with variants that nobody asks for again. */
const MAX_VARIANTS = 8

/** Resources whose variants are counted; older ones are bounded by the store's budget alone. */
const MAX_RESOURCES = 20_000

/** Which variants there are of a resource. The entry under its own key says only by what it varies. */
export class VariantShelves {
  readonly #store: Pick<CacheStore, 'has' | 'create' | 'drop'>
  readonly #newId: () => string
  readonly #shelves = new LRUCache<string, Shelf>({ max: MAX_RESOURCES })

  constructor(store: Pick<CacheStore, 'has' | 'create' | 'drop'>, newId: () => string) {
    this.#store = store
    this.#newId = newId
  }

  /**
   * A response was stored: if it is a variant, readers find it from now on.
   *
   * @throws the store's error
   */
  async added({ key, varies, base }: Target, variant: EntryMeta): Promise<void> {
    if (varies.length === 0) return
    const names = varies.join(',')
    const shelf = this.#shelves.get(base.hash)
    const known = shelf?.varies === names ? shelf.hashes.filter((hash) => hash !== key.hash) : []
    const dropped = known.splice(0, Math.max(0, known.length + 1 - MAX_VARIANTS))
    this.#shelves.set(base.hash, { varies: names, hashes: [...known, key.hash] })
    if (shelf?.varies !== names || !this.#store.has(base.hash)) await this.#mark(base, varies, variant)
    for (const hash of dropped) await this.#store.drop(hash)
  }

  async #mark(base: CacheKey, varies: string[], variant: EntryMeta): Promise<void> {
    const writer = await this.#store.create(base, 0)
    await writer?.commit({
      ...variant,
      id: this.#newId(),
      key: base.text,
      headers: [],
      length: 0,
      // Its variants have lifetimes of their own.
      freshUntil: Number.MAX_SAFE_INTEGER,
      varies,
    })
  }
}
