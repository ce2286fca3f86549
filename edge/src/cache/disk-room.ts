import { Deletions } from './deletions.js'
import { DiskIndex, type IndexKey } from './index.js'

/** More files than this to be deleted first is no room: a body would wait too long. */
const MAX_BACKLOG = 10_000

export interface RoomOptions {
  /** What the cache may take, in blocks. */
  maxBlocks: number
  /** At most so many blocks are kept free, so that a new entry rarely waits for deletions. */
  headroom: number
  /** When a disk that was full may take its whole budget again. */
  fullMs: number
  /** Deletes the file of an entry that is no longer in the index. Never rejects. */
  remove: (key: IndexKey) => Promise<void>
  evicted: (key: IndexKey) => void
}

/** Who lies on one disk and what fits there: a place is free when the file that had it is gone. */
export class DiskRoom {
  readonly index: DiskIndex
  readonly #options: RoomOptions
  readonly #deletions: Deletions
  #fullTimer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: RoomOptions) {
    this.#options = options
    this.index = new DiskIndex(options.maxBlocks, (key, blocks) => {
      this.#deletions.add(key, blocks)
      options.evicted(key)
    })
    this.#deletions = new Deletions(options.remove, (blocks) => this.index.left(blocks))
  }

  /** Whether its file is still to be deleted. */
  isLeaving(key: IndexKey): boolean {
    return this.#deletions.has(key)
  }

  /** For an entry that is to come in. @returns false when there is no room for it, or not soon */
  reserveFirst(blocks: number): boolean {
    return this.#deletions.size <= MAX_BACKLOG && this.index.reserve(blocks)
  }

  /** Resolves when what is reserved is free on the disk. */
  async free(): Promise<void> {
    while (!this.index.fits && this.#deletions.size > 0) await this.#deletions.next()
  }

  /** Not an eviction. */
  expel(key: IndexKey): void {
    this.#deletions.add(key, this.index.remove(key))
  }

  /** Evicts before the room is needed. */
  trim(): void {
    this.index.trim(this.#options.headroom, MAX_BACKLOG - this.#deletions.size)
  }

  /** The disk has less room than was configured: the cache goes on in what it has now, and tries for more later. */
  setFull(): void {
    this.index.setFull()
    clearTimeout(this.#fullTimer)
    if (!this.#closed) this.#fullTimer = setTimeout(() => this.index.unsetFull(), this.#options.fullMs).unref()
  }

  /** Resolves when what has to go is gone. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#fullTimer)
    await this.#deletions.idle()
  }
}
