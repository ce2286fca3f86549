import { open, rm, unlink } from 'node:fs/promises'
import { BLOCK_BYTES } from './body.js'
import { Checkpoints } from './checkpoints.js'
import { type DiskOperation, isDiskError, isFull, isMissing } from './disk-errors.js'
import { DiskFolder } from './disk-folder.js'
import { DiskHealth } from './disk-health.js'
import { DiskRoom } from './disk-room.js'
import { DiskScan } from './disk-scan.js'
import { type CacheDisk, entryPath } from './disks.js'
import { readEntryHeader, renameInto, rewriteEntryHeader } from './entry-file.js'
import { blocksToBytes, diskBlocks, type EntryHeader, fileBytes } from './entry-format.js'
import type { EntryMeta } from './entry-meta.js'
import { DiskEntryWriter } from './entry-writer.js'
import { type DiskIndex, type IndexKey, toHash, toIndexKey } from './index.js'
import type { CacheKey } from './key.js'
import { KeyedLock } from './keyed-lock.js'
import type { Place } from './recover.js'
import type { DiskStats, EntryWriter } from './store.js'

/** At most so much is kept free, so that a new entry rarely waits for deletions. */
const MAX_HEADROOM_BYTES = 64 << 20
/** A disk that was full may take its whole budget again after so many rests. */
const FULL_RESTS = 6

export interface StoreDiskOptions {
  now: () => number
  checkpointMs: number
  /** How long a disk that failed is left alone. */
  restMs: number
  lockWaitMs: number
}

/** An entry's header; undefined when there is no whole entry; else why it is not known whether there is: the disk, or this process. */
type ReadHeader = EntryHeader | undefined | 'disk-error' | 'unread'

/** What a disk tells its store. */
export interface StoreDiskHost {
  place(disk: StoreDisk, hash: string): Place
  gone(hash: string): void
  evicted(key: IndexKey): void
  fault(operation: DiskOperation, error: unknown): void
  /** Before it is in again; it stays out when this rejects. */
  returning(disk: StoreDisk): Promise<void>
  state(disk: StoreDisk, state: 'in' | 'out', error?: unknown): void
  /** It works: what others took in for it they need no longer keep. */
  settled(disk: StoreDisk): void
}

/** One disk of the store: its folder, its index, and what is done with its entries. */
export class StoreDisk {
  readonly path: string
  readonly #folder: DiskFolder
  readonly #host: StoreDiskHost
  readonly #index: DiskIndex
  readonly #room: DiskRoom
  readonly #locks = new KeyedLock<IndexKey>()
  readonly #health: DiskHealth
  readonly #scan: DiskScan
  readonly #checkpoints: Checkpoints
  /** Whether entries of other disks may be here. */
  #guests = false
  #loaded = false
  #closing = false

  constructor(disk: CacheDisk, options: StoreDiskOptions, host: StoreDiskHost) {
    this.path = disk.path
    this.#folder = new DiskFolder(disk, options.lockWaitMs)
    this.#host = host
    this.#room = new DiskRoom({
      maxBlocks: diskBlocks(disk.size),
      headroom: diskBlocks(MAX_HEADROOM_BYTES),
      fullMs: FULL_RESTS * options.restMs,
      remove: (key) => this.#locks.run(key, () => this.#deleteEvicted(key)),
      evicted: (key) => {
        host.evicted(key)
        host.gone(toHash(key))
      },
    })
    this.#index = this.#room.index
    this.#health = new DiskHealth(options, {
      begin: () => this.#begin(),
      probe: () => this.#probe(),
      fault: host.fault,
      changed: (state, error) => this.#changed(state, error),
    })
    this.#scan = new DiskScan({
      layout: this.#folder.layout,
      index: this.#index,
      place: (hash) => this.#place(hash),
      busy: (key) => this.#locks.held(key) || this.#room.isLeaving(key),
      isRunning: (path) => this.#folder.isRunning(path),
      expel: (key) => this.#expel(key),
      strayFault: (error) => host.fault('scan', error),
      stopped: () => this.#closing || this.state === 'out',
      fault: (error) => this.#fault('scan', error),
      ended: () => host.settled(this),
      restMs: options.restMs,
    })
    this.#checkpoints = new Checkpoints({
      folder: this.#folder,
      index: this.#index,
      everyMs: options.checkpointMs,
      // Before the first scan is over, an order that no checkpoint gave isn't known yet.
      wanted: () => this.state === 'in' && this.#scan.ordered,
      fault: (error) => this.#fault('checkpoint', error),
    })
  }

  get state(): 'in' | 'out' {
    return this.#health.state
  }

  /** Whether it works, as far as a scan of the whole of it can show. */
  get settled(): boolean {
    return this.state === 'in' && this.#scan.over
  }

  /** Takes over what an earlier process left. @throws MillraceError `cache-in-use`; any other error takes the disk out. */
  async open(): Promise<void> {
    await this.#health.start()
    if (this.state === 'in') this.#checkpoints.start()
  }

  /** Resolves when the scan that runs now is over. */
  scanned(): Promise<void> {
    return this.#scan.done()
  }

  /** Begins to compare index and folders. */
  startScan(): void {
    this.#scan.start()
  }

  has(hash: string): boolean {
    return this.#index.has(toIndexKey(hash)) || this.#scan.mayHold(hash)
  }

  async look(key: CacheKey): Promise<EntryMeta | undefined> {
    const indexKey = toIndexKey(key.hash)
    if (!this.has(key.hash)) return undefined
    const first = await this.#readHeaderOf(key.hash)
    if (isOf(key, first) && this.#index.blocksOf(indexKey) === blocksOf(first)) return first.meta
    // It may have been replaced while it was read.
    return this.#locks.run(indexKey, async () => {
      const again = await this.#readHeaderOf(key.hash)
      if (isOf(key, again)) return this.#found(indexKey, again)
      await this.#removeBroken(indexKey, again)
      return undefined
    })
  }

  create(key: CacheKey, length: number | undefined): EntryWriter | undefined {
    if (this.state === 'out' || this.#closing) return undefined
    const blocks = diskBlocks(fileBytes(length ?? BLOCK_BYTES))
    if (!this.#room.reserveFirst(blocks)) return undefined
    const path = this.#folder.newTmp(key.hash)
    const disk = {
      reserve: (more: number) => this.#index.reserve(more),
      room: () => this.#room.free(),
      release: (tmp: string, reserved: number) => {
        this.#folder.ended(tmp)
        this.#index.release(reserved)
      },
      publish: (hash: string, tmp: string, taken: number, reserved: number) => this.#publish(hash, tmp, taken, reserved),
      fault: (operation: DiskOperation, error: unknown) => this.#fault(operation, error),
    }
    return new DiskEntryWriter(disk, key.hash, path, blocks, (tmp) => open(tmp, 'wx+', 0o600))
  }

  rewrite(key: CacheKey, meta: EntryMeta): Promise<boolean> {
    const indexKey = toIndexKey(key.hash)
    return this.#locks.run(indexKey, async () => {
      try {
        if (!(await rewriteEntryHeader(this.#pathOf(key.hash), meta))) return false
      } catch (error) {
        this.#fault('write', error)
        throw error
      }
      this.#use(indexKey)
      this.#host.gone(key.hash)
      return true
    })
  }

  used(hash: string): void {
    this.#use(toIndexKey(hash))
  }

  drop(hash: string, id: string | undefined): Promise<void> {
    const indexKey = toIndexKey(hash)
    return this.#locks.run(indexKey, async () => {
      if (id === undefined) return this.#removeLocked(indexKey)
      let header = await this.#readHeaderOf(hash)
      // An error may pass: it is not to cost an entry that was never compared.
      if (header === 'disk-error') header = await this.#readHeaderOf(hash)
      if (typeof header === 'string') await this.#removeBroken(indexKey, header)
      else if (header === undefined || header.meta.id === id) await this.#removeLocked(indexKey)
    })
  }

  /** Another disk is out: this one takes in entries of it. */
  takeGuests(): void {
    this.#guests = true
  }

  /** Deletes what other disks have themselves now. */
  async expelStrangers(): Promise<void> {
    if (!this.#guests) return
    this.#guests = false
    const strangers: IndexKey[] = []
    const walk = this.#index.walk((key) => {
      if (this.#place(toHash(key)) === 'stranger') strangers.push(key)
    })
    while (walk.next(2000)) await new Promise((resolve) => setImmediate(resolve))
    for (const key of strangers) if (this.#place(toHash(key)) === 'stranger') this.#expel(key)
  }

  stats(): DiskStats {
    const { objects, blocks, maxBlocks, evictedBytes } = this.#index
    return { path: this.path, state: this.state, objects, bytes: blocksToBytes(blocks), maxBytes: blocksToBytes(maxBlocks), evictedBytes }
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#checkpoints.stop()
    await this.#health.close()
    await this.#scan.close()
    await this.#room.close()
    await this.#checkpoints.close()
    await this.#folder.free()
  }

  /** Folders, lock, and the order of use as the last checkpoint has it. */
  async #begin(): Promise<void> {
    const made = await this.#folder.take()
    if (this.#loaded) return
    const since = await this.#checkpoints.load()
    // A tree that wasn't there holds nothing whose order could be unknown.
    if (made || since !== undefined) this.#scan.hasOrder(since)
    this.#loaded = true
  }

  async #probe(): Promise<void> {
    await this.#folder.probe()
    await this.#host.returning(this)
  }

  #changed(state: 'in' | 'out', error: unknown): void {
    this.#host.state(this, state, error)
    if (state === 'out') return
    this.#checkpoints.start()
    this.startScan()
  }

  #pathOf(hash: string): string {
    return entryPath(this.#folder.layout.root, hash)
  }

  #place(hash: string): Place {
    if (this.state === 'out') return 'own'
    const place = this.#host.place(this, hash)
    if (place === 'guest') this.#guests = true
    return place
  }

  #use(key: IndexKey): void {
    this.#index.touch(key)
    this.#scan.used(key)
  }

  #add(key: IndexKey, blocks: number): void {
    this.#index.add(key, blocks)
    this.#scan.used(key)
  }

  /** Under the key's lock. */
  #found(key: IndexKey, header: EntryHeader): EntryMeta {
    const blocks = blocksOf(header)
    // A checkpoint doesn't know what was replaced after it.
    if (this.#index.blocksOf(key) !== blocks && !this.#room.isLeaving(key)) this.#add(key, blocks)
    return header.meta
  }

  async #readHeaderOf(hash: string): Promise<ReadHeader> {
    try {
      return await readEntryHeader(this.#pathOf(hash))
    } catch (error) {
      this.#host.fault('look', error)
      this.#health.readFailed(error)
      return isDiskError(error) ? 'disk-error' : 'unread'
    }
  }

  /** What can't be read for want of descriptors or memory, or from a disk that is out now, may be a good entry: it stays. */
  async #removeBroken(key: IndexKey, found: ReadHeader): Promise<void> {
    if (found !== 'unread' && !(found === 'disk-error' && this.state === 'out')) await this.#removeLocked(key)
  }

  async #publish(hash: string, path: string, blocks: number, reserved: number): Promise<void> {
    const key = toIndexKey(hash)
    await this.#locks.run(key, async () => {
      // The older entry leaves the index first: evicted after the rename, it would take the new file with it.
      const older = this.#index.remove(key)
      try {
        await renameInto(path, this.#pathOf(hash))
      } catch (error) {
        this.#index.left(older)
        if (older > 0) this.#index.add(key, older)
        this.#fault('commit', error)
        throw error
      }
      this.#index.left(older)
      this.#folder.ended(path)
      this.#index.release(reserved)
      this.#add(key, blocks)
      if (older > 0 || this.#scan.mayHold(hash)) this.#host.gone(hash)
      this.#room.trim()
      // The disk that it belongs to came back while it was written.
      if (this.#place(hash) === 'stranger') this.#expel(key)
    })
  }

  async #removeLocked(key: IndexKey): Promise<void> {
    const blocks = this.#index.remove(key)
    const hash = toHash(key)
    await this.#unlink(hash)
    this.#index.left(blocks)
    this.#host.gone(hash)
  }

  #expel(key: IndexKey): void {
    this.#room.expel(key)
    this.#host.gone(toHash(key))
  }

  async #deleteEvicted(key: IndexKey): Promise<void> {
    // A newer entry may have come in its place.
    if (!this.#index.has(key)) await this.#unlink(toHash(key))
  }

  /** A file that can't be deleted takes room outside the budget until the next scan finds it. */
  async #unlink(hash: string): Promise<void> {
    const path = this.#pathOf(hash)
    try {
      await unlink(path)
    } catch (error) {
      // It may be a folder, which is no entry of ours.
      if (!isMissing(error)) await rm(path, { recursive: true, force: true }).catch((failure: unknown) => this.#fault('delete', failure))
    }
  }

  #fault(operation: DiskOperation, error: unknown): void {
    this.#host.fault(operation, error)
    if (isFull(error)) this.#room.setFull()
    else if (isDiskError(error)) this.#health.failed(error)
  }
}

function blocksOf({ meta }: EntryHeader): number {
  return diskBlocks(fileBytes(meta.length))
}

function isOf(key: CacheKey, read: ReadHeader): read is EntryHeader {
  return typeof read === 'object' && read.meta.key === key.text
}
