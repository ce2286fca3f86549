import { LRUCache } from 'lru-cache'
import type { EntryMeta } from '../cache/entry-meta.js'
import { type CacheKey, cacheKey } from '../cache/key.js'
import type { CacheStore } from '../cache/store.js'
import { variantKey } from '../cache/vary.js'
import type { PurgeView } from '../purge/contract.js'
import type { Upstream } from './contract.js'
import type { Variants } from './policy-contract.js'

/** Under what key a response is stored, and by which request fields it varies. */
export interface Target {
  key: CacheKey
  /** Empty for a response that is the same for everyone; then `key` is the resource's own. */
  varies: string[]
  base: CacheKey
  /** Id of the entry that leads to this variant. */
  marker?: string
}

/** Characters of a key in an entry's head. */
const MAX_KEY = 2500

/** The key of the resource itself, `<origin id> <path and query>`, whatever variant was asked for. */
export function baseKey(key: CacheKey): CacheKey {
  const end = key.text.indexOf(' ', key.text.indexOf(' ') + 1)
  return end < 0 ? key : cacheKey(key.text.slice(0, end))
}

/** @returns undefined for a response that varies by more than a key can hold. */
export async function targetOf(
  asked: CacheKey,
  upstream: Upstream,
  vary: string | undefined,
  variants: Variants,
  shelves: Pick<VariantShelves, 'marker'>,
): Promise<Target | undefined> {
  // Whatever media may vary by, the edge asks alike for everyone.
  if (upstream.mode === 'media') return { key: asked, varies: [], base: asked }
  const base = baseKey(asked)
  const varies = variants.varyNames(vary)
  if (!varies) return undefined
  if (varies.length === 0) return { key: base, varies, base }
  const text = variants.variantText(varies, upstream.headers)
  if (text === undefined) return undefined
  const marker = await shelves.marker(base, varies)
  const key = variantKey(base, marker, text)
  return key.text.length <= MAX_KEY ? { key, varies, base, marker } : undefined
}

interface Shelf {
  varies: string
  /** Of the entry under the resource's own key. */
  marker: string
  /** Of that entry; undefined until it is stored. */
  generation: number | undefined
  /** Oldest first. */
  hashes: string[]
}

/** A resource whose clients send ever new values must not fill the cache with variants that nobody asks for again. */
const MAX_VARIANTS = 8

/** Resources whose variants are counted; older ones are bounded by the store's budget alone. */
const MAX_RESOURCES = 20_000

export interface ShelfDependencies {
  store: Pick<CacheStore, 'has' | 'look' | 'create' | 'drop'>
  purges: Pick<PurgeView, 'covers'>
  newId: () => string
}

/**
 * Which variants there are of a resource. The entry under its own key, the marker, says by what it varies, and its id is part of their
 * keys: variants that have outlived their marker are never found again. So where no marker is, nothing of the resource can be served.
 */
export class VariantShelves {
  readonly #deps: ShelfDependencies
  readonly #shelves = new LRUCache<string, Shelf>({ max: MAX_RESOURCES })

  constructor(dependencies: ShelfDependencies) {
    this.#deps = dependencies
  }

  /** Id of the marker that a new variant by these fields belongs to: of the one that is there and in force, else of one to come. */
  async marker(base: CacheKey, varies: string[]): Promise<string> {
    const { store, purges, newId } = this.#deps
    const names = varies.join(',')
    const known = this.#current(base, names)
    if (known) return known.marker
    // One that an earlier process has left, or that was not asked for in a long time.
    const stored = store.has(base.hash) ? await store.look(base) : undefined
    const found = this.#current(base, names)
    if (found) return found.marker
    const usable = stored?.varies?.join(',') === names && !purges.covers(stored) ? stored : undefined
    const shelf: Shelf = { varies: names, marker: usable?.id ?? newId(), generation: usable?.generation, hashes: [] }
    this.#shelves.set(base.hash, shelf)
    return shelf.marker
  }

  /**
   * A response was stored: if it is a variant, readers find it from now on.
   *
   * @throws the store's error
   */
  async added({ key, varies, base, marker }: Target, meta: EntryMeta): Promise<void> {
    const { store } = this.#deps
    if (marker === undefined) {
      // It varies no more: what it once varied by says nothing of what is under its own key now.
      this.#shelves.delete(base.hash)
      return
    }
    const shelf = this.#shelves.get(base.hash) ?? { varies: varies.join(','), marker, generation: undefined, hashes: [] }
    // Meanwhile it varies by something else: nobody would find this one.
    if (shelf.marker !== marker) return store.drop(key.hash, meta.id)
    const known = shelf.hashes.filter((hash) => hash !== key.hash)
    const dropped = known.splice(0, Math.max(0, known.length + 1 - MAX_VARIANTS))
    shelf.hashes = [...known, key.hash]
    this.#shelves.set(base.hash, shelf)
    if (shelf.generation === undefined || !store.has(base.hash)) await this.#mark(base, varies, shelf, meta)
    for (const hash of dropped) await store.drop(hash)
  }

  /** @returns undefined unless what is known of a resource's variants still holds */
  #current(base: CacheKey, names: string): Shelf | undefined {
    const { store, purges } = this.#deps
    const shelf = this.#shelves.get(base.hash)
    if (shelf?.varies !== names) return undefined
    if (shelf.generation === undefined) return shelf
    return store.has(base.hash) && !purges.covers({ key: base.text, generation: shelf.generation }) ? shelf : undefined
  }

  /** Whatever goes wrong: a marker that was not stored must not come later, when the variants it leads to may be wrong. */
  async #mark(base: CacheKey, varies: string[], shelf: Shelf, variant: EntryMeta): Promise<void> {
    this.#shelves.delete(base.hash)
    const writer = await this.#deps.store.create(base, 0)
    if (!writer) return
    await writer.commit({
      ...variant,
      id: shelf.marker,
      key: base.text,
      headers: [],
      length: 0,
      // Its variants have lifetimes of their own.
      freshUntil: Number.MAX_SAFE_INTEGER,
      varies,
    })
    this.#shelves.set(base.hash, { ...shelf, generation: variant.generation })
  }
}
