import { LRUCache } from 'lru-cache'
import type { EntryMeta } from '../cache/entry-meta.js'
import type { PreparedHead } from './prepared-head.js'

/** What an entry takes beside its body: head, index, buffer object. */
const OVERHEAD_BYTES = 2048

/** A body in another content coding, with the head that says so. */
export interface CodedBody {
  head: PreparedHead
  body: Buffer
}

/** A whole entry in memory. Bodies are outside the JS heap. */
export interface RamEntry {
  readonly hash: string
  readonly meta: EntryMeta
  readonly head: PreparedHead
  readonly body: Buffer
  /** Made when they are first asked for; `false` when the coding gains nothing. */
  codings: { br?: CodedBody | false | 'making'; gzip?: CodedBody | false | 'making' } | undefined
  /** When it was last counted as used, in whole seconds. */
  countedAt: number
  /** The purge generation up to which it is known not to be covered. */
  checkedGeneration: number
}

/**
 * Hot entries of one worker. An object larger than `SHARED_BYTES` is kept by one worker alone, the one its hash names, so that the
 * workers together hold no large object twice; the others serve it from the page cache.
 */
export class RamTier {
  readonly maxBytes: number
  readonly #maxObject: number
  readonly #worker: number
  readonly #workers: number
  readonly #entries: LRUCache<string, RamEntry> | undefined
  readonly #loading = new Set<string>()

  constructor(options: { maxBytes: number; maxObject: number; worker: number; workers: number }) {
    this.maxBytes = options.maxBytes
    this.#maxObject = options.maxObject
    this.#worker = options.worker
    this.#workers = options.workers
    // lru-cache takes a maxSize of 0 for "no bound".
    if (options.maxBytes > 0) {
      this.#entries = new LRUCache<string, RamEntry>({ maxSize: options.maxBytes, maxEntrySize: options.maxBytes, sizeCalculation: sizeOf })
    }
  }

  get objects(): number {
    return this.#entries?.size ?? 0
  }

  get bytes(): number {
    return this.#entries?.calculatedSize ?? 0
  }

  /** Doesn't count as a use: `count` does, now and then. */
  peek(hash: string): RamEntry | undefined {
    return this.#entries?.peek(hash)
  }

  /** Counts as a use; at most once a second is enough for an order that spans hours. */
  count(entry: RamEntry, second: number): boolean {
    if (entry.countedAt === second) return false
    entry.countedAt = second
    this.#entries?.get(entry.hash)
    return true
  }

  /** Whether an object of this length, used so often, should be here. While there is room two uses are enough; else it must be hotter. */
  wants(hash: string, length: number, uses: number): boolean {
    const entries = this.#entries
    if (!entries || length > this.#maxObject || length + OVERHEAD_BYTES > this.maxBytes) return false
    if (this.#loading.has(hash) || !this.#mine(hash, length)) return false
    if (length <= SHARED_BYTES) return true
    const room = entries.calculatedSize + length + OVERHEAD_BYTES <= this.maxBytes
    return uses >= (room ? 2 : 4)
  }

  /** Loads a body with `read`, once at a time per object; a failure leaves nothing. */
  async load(hash: string, read: () => Promise<RamEntry | undefined>): Promise<RamEntry | undefined> {
    if (this.#loading.has(hash)) return undefined
    this.#loading.add(hash)
    try {
      const entry = await read()
      // Forgotten meanwhile: what was read may be replaced.
      if (!entry || !this.#loading.has(hash)) return undefined
      this.#entries?.set(hash, entry)
      return entry
    } finally {
      this.#loading.delete(hash)
    }
  }

  /** An entry got a coded body: it takes more now. */
  resized(entry: RamEntry): void {
    if (this.#entries?.peek(entry.hash) === entry) this.#entries.set(entry.hash, entry)
  }

  forget(hash: string): void {
    this.#loading.delete(hash)
    this.#entries?.delete(hash)
  }

  clear(): void {
    this.#loading.clear()
    this.#entries?.clear()
  }

  #mine(hash: string, length: number): boolean {
    return length <= SHARED_BYTES || Number.parseInt(hash.slice(0, 6), 16) % this.#workers === this.#worker
  }
}

/** Up to this length every worker may keep an object: playlists and init segments are small, and every viewer asks for them. */
export const SHARED_BYTES = 1 << 16

function sizeOf(entry: RamEntry): number {
  let bytes = entry.body.length + OVERHEAD_BYTES
  for (const coded of [entry.codings?.br, entry.codings?.gzip]) if (typeof coded === 'object') bytes += coded.body.length + OVERHEAD_BYTES
  return bytes
}
