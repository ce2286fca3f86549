import { LRUCache } from 'lru-cache'

export interface IndexEntry {
  /** What the entry takes. */
  readonly bytes: number
  /** Unix milliseconds; 0 until its header was read. */
  freshUntil: number
}

/**
 * Who has to go: least recently used first, by bytes. Room is reserved before it is written, so that the budget is a bound and not a
 * mean. Victims are told to the store, which deletes them.
 */
export class EvictionIndex {
  readonly maxBytes: number
  evictedBytes = 0
  readonly #onVictim: (hash: string) => void
  #reserved = 0
  readonly #entries: LRUCache<string, IndexEntry>

  constructor(maxBytes: number, onVictim: (hash: string) => void) {
    this.maxBytes = maxBytes
    this.#onVictim = onVictim
    this.#entries = new LRUCache<string, IndexEntry>({
      maxSize: maxBytes,
      sizeCalculation: (entry) => entry.bytes,
      dispose: (entry, hash, reason) => {
        if (reason !== 'evict') return
        this.evictedBytes += entry.bytes
        onVictim(hash)
      },
    })
  }

  get objects(): number {
    return this.#entries.size
  }

  /** Entries and reservations. */
  get bytes(): number {
    return this.#entries.calculatedSize + this.#reserved
  }

  peek(hash: string): IndexEntry | undefined {
    return this.#entries.peek(hash)
  }

  /** Counts as a use. */
  touch(hash: string): IndexEntry | undefined {
    return this.#entries.get(hash)
  }

  /** @returns false, and evicts nothing, when earlier reservations leave too little. */
  reserve(bytes: number): boolean {
    if (this.#reserved + bytes > this.maxBytes) return false
    this.#reserved += bytes
    while (this.bytes > this.maxBytes) this.#entries.pop()
    return true
  }

  release(bytes: number): void {
    this.#reserved -= bytes
  }

  /** As the most recently used. An entry larger than the whole budget is a victim itself. */
  add(hash: string, entry: IndexEntry): void {
    if (entry.bytes > this.maxBytes) {
      this.evictedBytes += entry.bytes
      this.#onVictim(hash)
      return
    }
    this.#entries.set(hash, entry)
    while (this.bytes > this.maxBytes && this.#entries.size > 0) this.#entries.pop()
  }

  /** Not an eviction: the caller knows what became of the file. */
  forget(hash: string): void {
    this.#entries.delete(hash)
  }
}
