import { LRUCache } from 'lru-cache'
import { blocksToBytes } from './entry-format.js'

/** A JavaScript Map takes at most 2^24 keys. */
const MAX_ENTRIES = 2 ** 24 - 2 ** 16

/** A hash as the index keeps it: 16 characters of one byte each, half the memory of its 32 hex digits. */
export type IndexKey = string

export function toIndexKey(hash: string): IndexKey {
  return Buffer.from(hash, 'hex').toString('latin1')
}

export function toHash(key: IndexKey): string {
  return Buffer.from(key, 'latin1').toString('hex')
}

/** Visits every entry, least recently used first, a slice at a time, whatever happens to the index in between. */
export interface Walk {
  /** @returns false when it has seen all. */
  next(count: number): boolean
  stop(): void
}

/**
 * What lies on one disk, in order of use, and who has to go. Counts in blocks of 4096 bytes. Room is reserved before it is written, so
 * that the budget is a bound and not a mean; what is evicted counts until its file is gone (`left`).
 *
 * Memory is what bounds the number of entries: a short key and one small number each, no object.
 */
export class DiskIndex {
  readonly maxBlocks: number
  evictedBytes = 0
  #limit: number
  #reserved = 0
  #leaving = 0
  readonly #entries: LRUCache<IndexKey, number>
  readonly #walks = new Set<Cursor>()
  readonly #onVictim: (key: IndexKey, blocks: number) => void

  /** @param onVictim told who was evicted; its file is to be deleted, and then `left` to be called */
  constructor(maxBlocks: number, onVictim: (key: IndexKey, blocks: number) => void) {
    this.maxBlocks = maxBlocks
    this.#limit = maxBlocks
    this.#entries = new LRUCache<IndexKey, number>({
      maxSize: maxBlocks,
      sizeCalculation: (blocks) => blocks,
      dispose: (blocks, key, reason) => {
        if (reason === 'evict') this.#victim(key, blocks)
      },
    })
    this.#onVictim = onVictim
  }

  get objects(): number {
    return this.#entries.size
  }

  /** Entries, reservations, and what is being deleted. */
  get blocks(): number {
    return this.#entries.calculatedSize + this.#reserved + this.#leaving
  }

  /** Whether all that is reserved can be written now; otherwise it can when deletions are done. */
  get fits(): boolean {
    return this.blocks <= this.#limit
  }

  /** Whether there are more entries than may be, as after a smaller budget was configured. */
  get over(): boolean {
    return this.#entries.calculatedSize + this.#reserved > this.#limit
  }

  has(key: IndexKey): boolean {
    return this.#entries.has(key)
  }

  /** What an entry takes; undefined when it isn't there. */
  blocksOf(key: IndexKey): number | undefined {
    return this.#entries.peek(key)
  }

  /** Counts as a use. */
  touch(key: IndexKey): void {
    this.#stepAside(key)
    this.#entries.get(key)
  }

  /** @returns false, and evicts nothing, when earlier reservations leave too little. */
  reserve(blocks: number): boolean {
    if (this.#reserved + blocks > this.#limit) return false
    this.#reserved += blocks
    while (this.over) this.#evictOne()
    return true
  }

  release(blocks: number): void {
    this.#reserved -= blocks
  }

  /** As the most recently used. An entry larger than the whole budget is a victim itself. */
  add(key: IndexKey, blocks: number): void {
    this.#stepAside(key)
    this.#entries.delete(key)
    if (blocks > this.maxBlocks) {
      this.#victim(key, blocks)
      return
    }
    const most = this.#limit - this.#reserved - blocks
    while (this.#entries.size > 0 && (this.#entries.calculatedSize > most || this.#entries.size >= MAX_ENTRIES)) this.#evictOne()
    this.#entries.set(key, blocks)
    // Where reservations leave no room for it, as for what a scan finds, it goes at once.
    while (this.over && this.#entries.size > 0) this.#evictOne()
  }

  /** Not an eviction. The file counts until `left` is called. @returns its blocks, 0 when it isn't there. */
  remove(key: IndexKey): number {
    const blocks = this.#entries.peek(key)
    if (blocks === undefined) return 0
    this.#stepAside(key)
    this.#entries.delete(key)
    this.#leaving += blocks
    return blocks
  }

  /** A file is gone that was removed or evicted. */
  left(blocks: number): void {
    this.#leaving -= blocks
  }

  /** Evicts until a 64th of the room is free, but no more than `most`, deletions aside; and no more than `count` entries. */
  trim(most: number, count: number): void {
    const free = Math.min(this.#limit / 64, most)
    for (let evicted = 0; evicted < count && this.#entries.size > 0; evicted++) {
      if (this.#entries.calculatedSize + this.#reserved <= this.#limit - free) return
      this.#evictOne()
    }
  }

  /** The disk has no more than what is taken now. */
  setFull(): void {
    this.#limit = Math.min(this.maxBlocks, this.#entries.calculatedSize + this.#leaving)
  }

  /** The disk may have room again, as far as it was configured. */
  unsetFull(): void {
    this.#limit = this.maxBlocks
  }

  walk(visit: (key: IndexKey, blocks: number) => void): Walk {
    // Pairs of key and value; the library's type says any of both.
    const entries = this.#entries.rentries() as unknown as Iterator<[IndexKey, number]>
    const cursor = new Cursor(entries, visit, () => this.#walks.delete(cursor))
    this.#walks.add(cursor)
    return cursor
  }

  #evictOne(): void {
    if (this.#walks.size > 0) {
      const first = this.#entries.rkeys().next()
      if (!first.done) this.#stepAside(first.value)
    }
    this.#entries.pop()
  }

  #victim(key: IndexKey, blocks: number): void {
    this.evictedBytes += blocksToBytes(blocks)
    this.#leaving += blocks
    this.#onVictim(key, blocks)
  }

  /** Before an entry moves or goes. */
  #stepAside(key: IndexKey): void {
    if (this.#walks.size > 0) for (const walk of this.#walks) walk.stepOff(key)
  }
}

/**
 * A walk stands on an entry of a linked list; when that entry moved to the other end, the walk would miss all between. So it goes one
 * further before. An entry that moves behind it is seen twice, which does no harm: the later place is the right one.
 */
class Cursor implements Walk {
  readonly #entries: Iterator<[IndexKey, number]>
  readonly #visit: (key: IndexKey, blocks: number) => void
  readonly #ended: () => void
  #at: IndexKey | undefined
  #done = false

  constructor(entries: Iterator<[IndexKey, number]>, visit: (key: IndexKey, blocks: number) => void, ended: () => void) {
    this.#entries = entries
    this.#visit = visit
    this.#ended = ended
  }

  next(count: number): boolean {
    for (let step = 0; step < count && !this.#done; step++) this.#step()
    return !this.#done
  }

  stop(): void {
    this.#done = true
    this.#ended()
  }

  stepOff(key: IndexKey): void {
    while (!this.#done && this.#at === key) this.#step()
  }

  #step(): void {
    const next = this.#entries.next()
    if (next.done) {
      this.stop()
      return
    }
    this.#at = next.value[0]
    this.#visit(next.value[0], next.value[1])
  }
}
