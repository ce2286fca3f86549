import { isDiskError } from './disk-errors.js'
import type { IndexKey } from './index.js'
import { reconcile, type ScanTarget, SHARDS } from './recover.js'

/** The disk as its scans need it. */
export interface ScannedDisk extends Omit<ScanTarget, 'ordered' | 'changedSince' | 'usedMeanwhile' | 'shardDone' | 'stopped'> {
  /** Whether scanning it makes no sense now. */
  stopped(): boolean
  fault(error: unknown): void
  /** Index and folders agree. */
  ended(): void
  /** How long to wait before a scan that failed for want of descriptors or memory is begun again. */
  restMs: number
}

/** Where the comparison of a disk's index and folders is, and what the index doesn't know before it is over. */
export class DiskScan {
  readonly #disk: ScannedDisk
  /** Folders that were not compared since the disk was taken in. */
  readonly #unscanned = new Set<number>(shards())
  #ordered = false
  /** When the checkpoint was begun that gave the index its order. */
  #changedSince: number | undefined
  /** In order of use, while the index has no order of its own. */
  readonly #used = new Set<IndexKey>()
  #running: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(disk: ScannedDisk) {
    this.#disk = disk
  }

  /** Whether the order of the index is the order of use. */
  get ordered(): boolean {
    return this.#ordered
  }

  /** Whether all folders were compared since the disk was taken in. */
  get over(): boolean {
    return this.#unscanned.size === 0
  }

  /** @param since when the checkpoint was begun that gives the order, in Unix milliseconds; undefined for a tree that was just made */
  hasOrder(since: number | undefined): void {
    this.#ordered = true
    this.#changedSince = since
  }

  start(): void {
    for (const shard of shards()) this.#unscanned.add(shard)
    clearTimeout(this.#timer)
    this.#running = (this.#running ?? Promise.resolve()).then(() => this.#run())
  }

  /** Resolves when the scan that runs now is over. */
  async done(): Promise<void> {
    await this.#running
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#running
  }

  /** While the folder of its hash was not compared, an entry may be there that the index doesn't know. */
  mayHold(hash: string): boolean {
    return this.#unscanned.size > 0 && this.#unscanned.has(Number.parseInt(hash.slice(0, 2), 16))
  }

  /** An entry was used or came in: what a scan makes of the files' times is older than that. */
  used(key: IndexKey): void {
    if (this.#ordered) return
    this.#used.delete(key)
    this.#used.add(key)
  }

  async #run(): Promise<void> {
    const disk = this.#disk
    try {
      await reconcile({
        ...disk,
        ordered: this.#ordered,
        changedSince: this.#changedSince,
        usedMeanwhile: this.#used,
        shardDone: (shard) => this.#unscanned.delete(shard),
        stopped: () => this.#closed || disk.stopped(),
      })
    } catch (error) {
      disk.fault(error)
      if (!isDiskError(error) && !this.#closed) this.#timer = setTimeout(() => disk.stopped() || this.start(), disk.restMs).unref()
      return
    }
    if (!this.over || this.#closed || disk.stopped()) return
    this.#ordered = true
    this.#changedSince = undefined
    this.#used.clear()
    disk.ended()
  }
}

function shards(): number[] {
  return Array.from({ length: SHARDS }, (_, shard) => shard)
}
