import { mkdir, open, stat, unlink } from 'node:fs/promises'
import { MillraceError } from '@millrace/common/errors'
import { BLOCK_BYTES } from './body.js'
import { loadCheckpoint, writeCheckpoint } from './checkpoint.js'
import { Deletions } from './deletions.js'
import { type DiskOperation, isDiskError, isFull, isMissing } from './disk-errors.js'
import { type CacheDisk, type DiskLayout, diskLayout, entryPath, tmpPath } from './disks.js'
import { probeFile, readEntryHeader, renameInto, rewriteEntryHeader } from './entry-file.js'
import { blocksToBytes, diskBlocks, type EntryHeader, fileBytes } from './entry-format.js'
import type { EntryMeta } from './entry-meta.js'
import { DiskEntryWriter } from './entry-writer.js'
import { lockFolder } from './folder-lock.js'
import { DiskIndex, type IndexKey, toHash, toIndexKey } from './index.js'
import type { CacheKey } from './key.js'
import { KeyedLock } from './keyed-lock.js'
import { reconcile, SHARDS } from './recover.js'
import type { DiskStats, EntryWriter } from './store.js'
import { uniqueNames } from './unique-names.js'

/** More files than this to be deleted first is no room: a body would wait too long. */
const MAX_BACKLOG = 10_000
/** At most so much is kept free, so that a new entry rarely waits for deletions. */
const MAX_HEADROOM_BYTES = 64 << 20
/** So many files in so much time that can't be read, and the disk is to blame. */
const READ_FAILURES = 3
const READ_FAILURE_WINDOW_MS = 10_000
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
  belongs(disk: StoreDisk, hash: string): boolean
  gone(hash: string): void
  evicted(key: IndexKey): void
  fault(operation: DiskOperation, error: unknown): void
  /** Before it is in again; it stays out when this rejects. */
  returning(disk: StoreDisk): Promise<void>
  state(disk: StoreDisk, state: 'in' | 'out', error?: unknown): void
}

/** One disk of the store: its folder, its index, and whether it works. */
export class StoreDisk {
  readonly path: string
  state: 'in' | 'out' = 'out'
  readonly #layout: DiskLayout
  readonly #options: StoreDiskOptions
  readonly #host: StoreDiskHost
  readonly #index: DiskIndex
  readonly #deletions: Deletions
  readonly #locks = new KeyedLock<IndexKey>()
  /** Files in tmp that are being written. */
  readonly #running = new Set<string>()
  readonly #unscanned = new Set<number>()
  #scan: Promise<void> | undefined
  readonly #newName = uniqueNames(12)
  #device: number | undefined
  #unlock: (() => Promise<void>) | undefined
  #loaded = false
  #ordered = false
  #scanned = false
  #closing = false
  #checkpoint: Promise<void> | undefined
  #checkpointTimer: NodeJS.Timeout | undefined
  #restTimer: NodeJS.Timeout | undefined
  #fullTimer: NodeJS.Timeout | undefined
  #trying: Promise<void> | undefined
  #readFailures: number[] = []

  constructor({ path, size }: CacheDisk, options: StoreDiskOptions, host: StoreDiskHost) {
    this.path = path
    this.#layout = diskLayout(path)
    this.#options = options
    this.#host = host
    this.#index = new DiskIndex(diskBlocks(size), (key, blocks) => {
      this.#deletions.add(key, blocks)
      host.evicted(key)
      host.gone(toHash(key))
    })
    this.#deletions = new Deletions(
      (key) => this.#locks.run(key, () => this.#deleteEvicted(key)),
      (blocks) => this.#index.left(blocks),
    )
  }

  /** Takes over what an earlier process left. @throws MillraceError `cache-in-use`; any other error takes the disk out. */
  async open(): Promise<void> {
    try {
      await this.#begin()
    } catch (error) {
      if (error instanceof MillraceError && error.code === 'cache-in-use') throw error
      this.#host.fault('open', error)
      this.#takeOut(error, true)
      return
    }
    this.state = 'in'
    this.#checkpointTimer = setInterval(() => void this.#writeCheckpoint(), this.#options.checkpointMs).unref()
  }

  /** Resolves when the scan that runs now is over. */
  async scanned(): Promise<void> {
    await this.#scan
  }

  /** Begins to compare index and folders. */
  startScan(): void {
    for (let shard = 0; shard < SHARDS; shard++) this.#unscanned.add(shard)
    this.#scan = (this.#scan ?? Promise.resolve()).then(() => this.#runScan())
  }

  has(hash: string): boolean {
    return this.#index.has(toIndexKey(hash)) || this.#mayHold(hash)
  }

  async look(key: CacheKey): Promise<EntryMeta | undefined> {
    const indexKey = toIndexKey(key.hash)
    if (!this.#index.has(indexKey) && !this.#mayHold(key.hash)) return undefined
    const first = await this.#readHeaderOf(key.hash)
    if (isOf(key, first)) return this.#found(indexKey, first)
    // It may have been replaced while it was read.
    return this.#locks.run(indexKey, async () => {
      const again = await this.#readHeaderOf(key.hash)
      if (isOf(key, again)) return this.#found(indexKey, again)
      await this.#removeBroken(indexKey, again)
      return undefined
    })
  }

  create(key: CacheKey, length: number | undefined): EntryWriter | undefined {
    if (this.state === 'out' || this.#closing || this.#deletions.size > MAX_BACKLOG) return undefined
    const blocks = diskBlocks(fileBytes(length ?? BLOCK_BYTES))
    if (!this.#index.reserve(blocks)) return undefined
    const path = tmpPath(this.#layout, key.hash, this.#newName())
    this.#running.add(path)
    const disk = {
      reserve: (more: number) => this.#index.reserve(more),
      room: () => this.#room(),
      release: (tmp: string, reserved: number) => {
        this.#running.delete(tmp)
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
        if (!(await rewriteEntryHeader(entryPath(this.#layout.root, key.hash), meta))) return false
      } catch (error) {
        this.#fault('write', error)
        throw error
      }
      this.#index.touch(indexKey)
      this.#host.gone(key.hash)
      return true
    })
  }

  used(hash: string): void {
    this.#index.touch(toIndexKey(hash))
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

  /** Entries that belong to another disk now are deleted, as after that one came back. */
  async expelStrangers(): Promise<void> {
    const strangers: IndexKey[] = []
    const walk = this.#index.walk((key) => {
      if (!this.#host.belongs(this, toHash(key))) strangers.push(key)
    })
    while (walk.next(2000)) await new Promise((resolve) => setImmediate(resolve))
    for (const key of strangers) if (!this.#host.belongs(this, toHash(key))) this.#expel(key)
  }

  stats(): DiskStats {
    const { objects, blocks, maxBlocks, evictedBytes } = this.#index
    return { path: this.path, state: this.state, objects, bytes: blocksToBytes(blocks), maxBytes: blocksToBytes(maxBlocks), evictedBytes }
  }

  async close(): Promise<void> {
    this.#closing = true
    clearInterval(this.#checkpointTimer)
    clearTimeout(this.#restTimer)
    clearTimeout(this.#fullTimer)
    await this.#trying
    await this.#scan
    await this.#deletions.idle()
    await this.#checkpoint
    if (this.state === 'in') await this.#writeCheckpoint()
    await this.#unlock?.()
    this.#unlock = undefined
  }

  /** Folders, lock, and the order of use as the last checkpoint has it. */
  async #begin(): Promise<void> {
    if (this.#device === undefined) await mkdir(this.path, { recursive: true, mode: 0o700 })
    const { dev } = await stat(this.path)
    // A folder whose disk isn't mounted is a folder of another disk.
    if (this.#device !== undefined && dev !== this.#device) {
      throw new MillraceError(`${this.path} is not on the disk it was on`, { code: 'disk-changed', source: 'disk', retryable: true })
    }
    this.#device = dev
    this.#unlock ??= await lockFolder(this.path, this.#options.lockWaitMs)
    const made = await mkdir(this.#layout.tmp, { recursive: true, mode: 0o700 })
    if (this.#loaded) return
    // A tree that wasn't there holds nothing whose order could be unknown.
    this.#ordered = (await loadCheckpoint(this.#layout, this.#index)) || (made !== undefined && made !== this.#layout.tmp)
    this.#loaded = true
  }

  async #runScan(): Promise<void> {
    try {
      await reconcile({
        layout: this.#layout,
        index: this.#index,
        ordered: this.#ordered,
        belongs: (hash) => this.#host.belongs(this, hash),
        busy: (key) => this.#locks.held(key) || this.#deletions.has(key),
        isRunning: (path) => this.#running.has(path),
        expel: (key) => this.#expel(key),
        shardDone: (shard) => this.#unscanned.delete(shard),
        stopped: () => this.#closing || this.state === 'out',
      })
      if (this.#unscanned.size === 0) this.#ordered = this.#scanned = true
    } catch (error) {
      this.#fault('scan', error)
    }
  }

  /** While the folder of its hash was not scanned, an entry may be there that the index doesn't know. */
  #mayHold(hash: string): boolean {
    return this.#unscanned.size > 0 && this.#unscanned.has(Number.parseInt(hash.slice(0, 2), 16))
  }

  #found(key: IndexKey, { meta }: EntryHeader): EntryMeta {
    const blocks = diskBlocks(fileBytes(meta.length))
    // A checkpoint doesn't know what was replaced after it.
    if (this.#index.blocksOf(key) !== blocks && !this.#deletions.has(key)) this.#index.add(key, blocks)
    return meta
  }

  async #readHeaderOf(hash: string): Promise<ReadHeader> {
    try {
      return await readEntryHeader(entryPath(this.#layout.root, hash))
    } catch (error) {
      this.#readFault(error)
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
        await renameInto(path, entryPath(this.#layout.root, hash))
      } catch (error) {
        this.#index.left(older)
        if (older > 0) this.#index.add(key, older)
        this.#fault('commit', error)
        throw error
      }
      this.#index.left(older)
      this.#running.delete(path)
      this.#index.release(reserved)
      this.#index.add(key, blocks)
      if (older > 0 || this.#mayHold(hash)) this.#host.gone(hash)
      this.#index.trim(diskBlocks(MAX_HEADROOM_BYTES), MAX_BACKLOG - this.#deletions.size)
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
    this.#deletions.add(key, this.#index.remove(key))
    this.#host.gone(toHash(key))
  }

  async #deleteEvicted(key: IndexKey): Promise<void> {
    // A newer entry may have come in its place.
    if (!this.#index.has(key)) await this.#unlink(toHash(key))
  }

  /** A file that can't be deleted takes room outside the budget until the next scan finds it. */
  async #unlink(hash: string): Promise<void> {
    try {
      await unlink(entryPath(this.#layout.root, hash))
    } catch (error) {
      if (!isMissing(error)) this.#fault('delete', error)
    }
  }

  async #room(): Promise<void> {
    while (!this.#index.fits && this.#deletions.size > 0) await this.#deletions.next()
  }

  #fault(operation: DiskOperation, error: unknown): void {
    this.#host.fault(operation, error)
    if (isFull(error)) this.#setFull()
    else if (isDiskError(error)) this.#takeOut(error)
  }

  /** One file that can't be read is dropped; several, and the disk is out. */
  #readFault(error: unknown): void {
    this.#host.fault('look', error)
    if (!isDiskError(error)) return
    const now = this.#options.now()
    this.#readFailures = this.#readFailures.filter((at) => now - at < READ_FAILURE_WINDOW_MS)
    this.#readFailures.push(now)
    if (this.#readFailures.length < READ_FAILURES) return
    this.#readFailures = []
    this.#takeOut(error)
  }

  /** The disk has less room than was configured: the cache goes on in what it has now, and tries for more later. */
  #setFull(): void {
    this.#index.setFull()
    clearTimeout(this.#fullTimer)
    if (this.#closing) return
    this.#fullTimer = setTimeout(() => this.#index.unsetFull(), FULL_RESTS * this.#options.restMs).unref()
  }

  #takeOut(error: unknown, always = false): void {
    if (this.#closing || (this.state === 'out' && !always)) return
    this.state = 'out'
    this.#host.state(this, 'out', error)
    this.#rest()
  }

  #rest(): void {
    if (!this.#closing) this.#restTimer = setTimeout(() => (this.#trying = this.#tryAgain()), this.#options.restMs).unref()
  }

  async #tryAgain(): Promise<void> {
    try {
      await this.#begin()
      await this.#withTmp('probe', probeFile)
      await this.#host.returning(this)
    } catch (error) {
      this.#host.fault('probe', error)
      this.#rest()
      return
    }
    if (this.#closing) return
    this.state = 'in'
    this.#checkpointTimer ??= setInterval(() => void this.#writeCheckpoint(), this.#options.checkpointMs).unref()
    this.#host.state(this, 'in')
    this.startScan()
  }

  async #writeCheckpoint(): Promise<void> {
    // Before the first scan is over, an order that no checkpoint gave isn't known yet.
    if (this.#checkpoint || this.state === 'out' || !(this.#ordered || this.#scanned)) return
    this.#checkpoint = this.#withTmp('index', (tmp) => writeCheckpoint(this.#layout, this.#index, tmp)).catch((error: unknown) =>
      this.#fault('checkpoint', error),
    )
    await this.#checkpoint
    this.#checkpoint = undefined
  }

  /** A file in tmp that a scan leaves alone while it is worked with. */
  async #withTmp(name: string, work: (path: string) => Promise<void>): Promise<void> {
    const path = `${this.#layout.tmp}/${name}`
    this.#running.add(path)
    try {
      await work(path)
    } finally {
      this.#running.delete(path)
    }
  }
}

function isOf(key: CacheKey, read: ReadHeader): read is EntryHeader {
  return typeof read === 'object' && read.meta.key === key.text
}
