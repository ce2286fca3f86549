import { LRUCache } from 'lru-cache'
import type { EntryMeta } from '../cache/entry-meta.js'
import type { PreparedHead } from './prepared-head.js'

/** What an entry takes beside its body: head, index, buffer object. */
const OVERHEAD_BYTES = 2048

/** Each needs a buffer to read with, and makes room that is lost when it fails. */
const LOADS_AT_ONCE = 4

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
 * Hot entries of one worker. What is being loaded counts from the beginning: its room is made before it is read. An object larger than
 * `SHARED_BYTES` is kept by one worker alone, the one its hash names, so that the workers together hold no large object twice; the others
 * serve it from the page cache.
 */
export class RamTier {
  readonly maxBytes: number
  readonly #maxObject: number
  readonly #worker: number
  readonly #workers: number
  readonly #entries: LRUCache<string, RamEntry> | undefined
  /** Loads whose entries are still to be kept. */
  readonly #loading = new Map<string, object>()
  /** Of all loads that run, also those whose objects were forgotten meanwhile. */
  #loads = 0
  #loadingBytes = 0

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

  /** Of entries and of what is being loaded. */
  get bytes(): number {
    return (this.#entries?.calculatedSize ?? 0) + this.#loadingBytes
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
    const bytes = length + OVERHEAD_BYTES
    if (!this.#entries || length > this.#maxObject || this.#loadingBytes + bytes > this.maxBytes) return false
    if (this.#loads >= LOADS_AT_ONCE || this.#loading.has(hash) || !this.#mine(hash, length)) return false
    if (length <= SHARED_BYTES) return true
    return uses >= (this.bytes + bytes <= this.maxBytes ? 2 : 4)
  }

  /** Loads a body of `length` bytes with `read`, once at a time per object, when it is wanted; a failure leaves nothing. */
  async load(hash: string, length: number, read: () => Promise<RamEntry | undefined>): Promise<RamEntry | undefined> {
    const entries = this.#entries
    if (!entries || this.#loading.has(hash)) return undefined
    const bytes = length + OVERHEAD_BYTES
    const load = {}
    this.#loading.set(hash, load)
    this.#loads++
    this.#loadingBytes += bytes
    this.#makeRoom()
    let entry: RamEntry | undefined
    try {
      entry = await read()
      // Forgotten meanwhile: what was read may be replaced.
      if (this.#loading.get(hash) !== load) entry = undefined
    } finally {
      if (this.#loading.get(hash) === load) this.#loading.delete(hash)
      this.#loads--
      this.#loadingBytes -= bytes
    }
    if (entry) this.#put(entry)
    return entry
  }

  /** An entry got a coded body: it takes more now. */
  resized(entry: RamEntry): void {
    const entries = this.#entries
    if (entries?.peek(entry.hash) !== entry) return
    // The library asks for the size of another value only.
    entries.delete(entry.hash)
    this.#put(entry)
  }

  forget(hash: string): void {
    this.#loading.delete(hash)
    this.#entries?.delete(hash)
  }

  clear(): void {
    this.#loading.clear()
    this.#entries?.clear()
  }

  #put(entry: RamEntry): void {
    this.#entries?.set(entry.hash, entry)
    this.#makeRoom()
  }

  #makeRoom(): void {
    while (this.bytes > this.maxBytes && this.objects > 0) this.#entries?.pop()
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
