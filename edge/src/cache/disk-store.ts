import { setTimeout as delay } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import type { DiskOperation } from './disk-errors.js'
import { type CacheDisk, Disks } from './disks.js'
import type { EntryMeta } from './entry-meta.js'
import { type IndexKey, toIndexKey } from './index.js'
import type { CacheKey } from './key.js'
import type { Place } from './recover.js'
import type { CacheStore, DiskStats, EntryPlaces, EntryWriter } from './store.js'
import { StoreDisk } from './store-disk.js'

/** Evicted hashes that are remembered. */
const MAX_EVICTED = 100_000

export interface DiskStoreOptions {
  disks: readonly CacheDisk[]
  /** Unix milliseconds. */
  now: () => number
  /** Between two checkpoints of the order of use. */
  checkpointMs?: number
  /** How long a disk that failed is left alone. */
  restMs?: number
  /** How long a process that has the folders open and is just dying is waited for. */
  lockWaitMs?: number
  /** Entries that were evicted, replaced, dropped or got a new head; at once, so that whoever is told of the new one has heard of this. */
  onGone: (hashes: readonly string[]) => void
  /** A disk was taken out, or is back in. */
  onDisk: (path: string, state: 'in' | 'out', error?: unknown) => void
  /** Before a disk that was out is used again; when it rejects, the disk stays out. */
  onReturn?: (path: string) => Promise<void>
  /** Every error of a disk, once. */
  onFault: (operation: DiskOperation, error: unknown) => void
  /**
   * How long `open` waits for the first scan. What came in after the last checkpoint counts in no budget until it is found, so that what is
   * written before then may be too much.
   */
  scanWaitMs?: number
}

/** One file per entry, on one or several disks. What one disk can't do doesn't hold up the others. */
export class DiskStore implements CacheStore {
  /** Where this process finds entries now; follows the disks' states by itself. */
  readonly places: EntryPlaces
  readonly #disks: readonly StoreDisk[]
  readonly #where: Disks
  readonly #options: DiskStoreOptions
  readonly #evicted = new LRUCache<IndexKey, true>({ max: MAX_EVICTED })

  private constructor(options: DiskStoreOptions) {
    this.#options = options
    this.#where = new Disks(options.disks)
    this.places = this.#where
    const { now, checkpointMs = 30_000, restMs = 10_000, lockWaitMs = 3000 } = options
    const host = {
      place: (disk: StoreDisk, hash: string) => this.#place(disk, hash),
      gone: (hash: string) => this.#tellGone(hash),
      evicted: (key: IndexKey) => void this.#evicted.set(key, true),
      fault: options.onFault,
      returning: async (disk: StoreDisk) => options.onReturn?.(disk.path),
      state: (disk: StoreDisk, state: 'in' | 'out', error?: unknown) => this.#changed(disk, state, error),
      settled: (disk: StoreDisk) => {
        for (const other of this.#disks) if (other !== disk) void other.expelStrangers()
      },
    }
    this.#disks = options.disks.map((disk) => new StoreDisk(disk, { now, checkpointMs, restMs, lockWaitMs }, host))
  }

  /**
   * Usable at once with what the checkpoints tell; the folders are compared behind the scenes (`scanned`). A disk that fails is out.
   *
   * @throws MillraceError `cache-in-use` when another process has one of the folders
   */
  static async open(options: DiskStoreOptions): Promise<DiskStore> {
    const store = new DiskStore(options)
    const opened = await Promise.allSettled(store.#disks.map((disk) => disk.open()))
    for (const result of opened) {
      if (result.status === 'fulfilled') continue
      await store.#release()
      throw result.reason
    }
    store.#where.setOut(store.out())
    for (const disk of store.#disks) if (disk.state === 'in') disk.startScan()
    await Promise.race([store.scanned(), delay(options.scanWaitMs ?? 0, undefined, { ref: false })])
    return store
  }

  /** Resolves when every disk that is in was compared with its index. */
  async scanned(): Promise<void> {
    await Promise.all(this.#disks.map((disk) => disk.scanned()))
  }

  has(hash: string): boolean {
    return this.#disk(hash)?.has(hash) ?? false
  }

  async look(key: CacheKey): Promise<EntryMeta | undefined> {
    return this.#disk(key.hash)?.look(key)
  }

  async create(key: CacheKey, length: number | undefined): Promise<EntryWriter | undefined> {
    return this.#disk(key.hash)?.create(key, length)
  }

  async rewrite(key: CacheKey, meta: EntryMeta): Promise<boolean> {
    return (await this.#disk(key.hash)?.rewrite(key, meta)) ?? false
  }

  used(hash: string): void {
    this.#disk(hash)?.used(hash)
  }

  async drop(hash: string, id?: string): Promise<void> {
    await this.#disk(hash)?.drop(hash, id)
  }

  evicted(hash: string): boolean {
    return this.#evicted.has(toIndexKey(hash))
  }

  stats(): DiskStats[] {
    return this.#disks.map((disk) => disk.stats())
  }

  /** Configured paths of the disks that are out now. */
  out(): string[] {
    return this.#disks.filter((disk) => disk.state === 'out').map((disk) => disk.path)
  }

  /** Writes the checkpoints. Running writers should have ended. */
  async close(): Promise<void> {
    await this.#release()
  }

  async #release(): Promise<void> {
    await Promise.all(this.#disks.map((disk) => disk.close()))
  }

  #disk(hash: string): StoreDisk | undefined {
    const number = this.#where.number(hash)
    return number === undefined ? undefined : this.#disks[number]
  }

  #changed(disk: StoreDisk, state: 'in' | 'out', error: unknown): void {
    this.#where.setOut(this.out())
    this.#options.onDisk(disk.path, state, error)
    if (state === 'out') for (const other of this.#disks) if (other !== disk) other.takeGuests()
  }

  /** What was taken in for a disk is needed no longer when that one works again, not already when it is tried. */
  #place(disk: StoreDisk, hash: string): Place {
    const owner = this.#disk(hash)
    if (!owner || owner === disk) return 'own'
    return owner.settled ? 'stranger' : 'guest'
  }

  #tellGone(hash: string): void {
    this.#options.onGone([hash])
  }
}
