import { randomBytes } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { MillraceError } from '@millrace/common/errors'
import { BodyFile } from './body-file.js'
import { type DiskLayout, diskBytes, diskLayout } from './disk-layout.js'
import { decodeEntryHeader, type EntryMeta, encodeEntryHeader, HEADER_BYTES } from './entry-header.js'
import { EvictionIndex, type IndexEntry } from './eviction.js'
import type { CacheKey } from './key.js'
import { recover } from './recover.js'
import type { CacheStore, EntryWriter, FileLocation, StoredEntry, StoreStats } from './store.js'

/** A body of unknown length reserves its room in steps of this. */
const GROWTH_STEP = 1 << 18

export interface DiskStoreOptions {
  path: string
  maxBytes: number
  now: () => number
  /** Told when a file could not be deleted: it takes room outside the budget until the next start finds it. */
  onDeleteFailed: (error: unknown) => void
}

/** One file per entry, named by the key's hash. Not synced: a cache may lose its newest entries, but never serves a torn one. */
export class DiskStore implements CacheStore {
  readonly #layout: DiskLayout
  readonly #options: DiskStoreOptions
  readonly #index: EvictionIndex
  /** Deletions under way: room isn't free, and a name can't be taken again, before they are done. */
  readonly #deleting = new Map<string, Promise<void>>()

  private constructor(layout: DiskLayout, options: DiskStoreOptions) {
    this.#layout = layout
    this.#options = options
    this.#index = new EvictionIndex(options.maxBytes, (hash) => this.#delete(hash))
  }

  /** Takes over what an earlier process left in the folder. */
  static async open(options: DiskStoreOptions): Promise<DiskStore> {
    const layout = diskLayout(options.path)
    const store = new DiskStore(layout, options)
    for (const found of await recover(layout)) store.#index.add(found.hash, { bytes: diskBytes(found.fileBytes), freshUntil: 0 })
    await store.#deleted()
    return store
  }

  mayHave(key: CacheKey): boolean {
    const entry = this.#index.peek(key.hash)
    return entry !== undefined && (entry.freshUntil === 0 || entry.freshUntil > this.#options.now())
  }

  async open(key: CacheKey): Promise<StoredEntry | undefined> {
    const entry = this.#index.touch(key.hash)
    if (!entry) return undefined
    let handle: FileHandle
    try {
      handle = await open(this.#layout.entry(key.hash), 'r')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      if (this.#index.peek(key.hash) === entry) this.#index.forget(key.hash)
      return undefined
    }
    const meta = await readMeta(handle, key).catch(async (error: unknown) => {
      this.#drop(key.hash, entry)
      await handle.close()
      throw error
    })
    if (meta && meta.freshUntil > this.#options.now()) {
      entry.freshUntil = meta.freshUntil
      return { meta, body: new BodyFile(handle, HEADER_BYTES, meta.length, () => this.#drop(key.hash, entry)) }
    }
    await handle.close()
    if (meta) entry.freshUntil = meta.freshUntil
    else this.#drop(key.hash, entry)
    return undefined
  }

  async create(key: CacheKey, length: number | undefined): Promise<EntryWriter | undefined> {
    const room = diskBytes(HEADER_BYTES + (length ?? GROWTH_STEP))
    if (!this.#index.reserve(room)) return undefined
    const path = join(this.#layout.tmp, `${key.hash}-${randomBytes(6).toString('hex')}`)
    try {
      await this.#deleted()
      return new DiskWriter(this.#owner(), key, path, await open(path, 'wx', 0o600), room)
    } catch (error) {
      this.#index.release(room)
      throw error
    }
  }

  stats(): StoreStats {
    const { objects, bytes, maxBytes, evictedBytes } = this.#index
    return { objects, bytes, maxBytes, evictedBytes }
  }

  /** Proves that files can be made. */
  async probe(): Promise<void> {
    const path = join(this.#layout.tmp, `probe-${randomBytes(6).toString('hex')}`)
    const handle = await open(path, 'wx', 0o600)
    try {
      await handle.write('probe')
    } finally {
      await handle.close()
      await rm(path, { force: true })
    }
  }

  #owner(): WriterOwner {
    return {
      reserve: async (bytes) => {
        if (!this.#index.reserve(bytes)) return false
        await this.#deleted()
        return true
      },
      release: (bytes) => this.#index.release(bytes),
      publish: (key, path, fileBytes, freshUntil, room) => this.#publish(key, path, { bytes: diskBytes(fileBytes), freshUntil }, room),
    }
  }

  /** The older entry leaves the index first: evicted after the rename, it would take the new file with it. */
  async #publish(key: CacheKey, path: string, entry: IndexEntry, room: number): Promise<void> {
    while (this.#deleting.has(key.hash)) await this.#deleting.get(key.hash)
    const older = this.#index.peek(key.hash)
    this.#index.forget(key.hash)
    try {
      await rename(path, this.#layout.entry(key.hash))
    } catch (error) {
      if (older) this.#index.add(key.hash, older)
      throw error
    }
    this.#index.release(room)
    this.#index.add(key.hash, entry)
  }

  #drop(hash: string, entry: IndexEntry): void {
    if (this.#index.peek(hash) !== entry) return
    this.#index.forget(hash)
    this.#delete(hash)
  }

  #delete(hash: string): void {
    const done: Promise<void> = rm(this.#layout.entry(hash), { force: true })
      .catch((error: unknown) => this.#options.onDeleteFailed(error))
      .finally(() => {
        if (this.#deleting.get(hash) === done) this.#deleting.delete(hash)
      })
    this.#deleting.set(hash, done)
  }

  async #deleted(): Promise<void> {
    await Promise.all(this.#deleting.values())
  }
}

interface WriterOwner {
  reserve: (bytes: number) => Promise<boolean>
  release: (bytes: number) => void
  publish: (key: CacheKey, path: string, fileBytes: number, freshUntil: number, room: number) => Promise<void>
}

class DiskWriter implements EntryWriter {
  readonly location: FileLocation
  readonly #owner: WriterOwner
  readonly #key: CacheKey
  readonly #handle: FileHandle
  #room: number
  #position = HEADER_BYTES

  constructor(owner: WriterOwner, key: CacheKey, path: string, handle: FileHandle, room: number) {
    this.#owner = owner
    this.#key = key
    this.#handle = handle
    this.#room = room
    this.location = { path, bodyOffset: HEADER_BYTES }
  }

  async write(chunk: Uint8Array): Promise<void> {
    while (this.#position + chunk.length > this.#room) {
      if (!(await this.#owner.reserve(GROWTH_STEP))) {
        throw new MillraceError('the cache has no room for a body of unknown length', { code: 'no-room', source: 'disk', retryable: true })
      }
      this.#room += GROWTH_STEP
    }
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await this.#handle.write(chunk, done, chunk.length - done, this.#position)
      done += bytesWritten
      this.#position += bytesWritten
    }
  }

  async commit(meta: EntryMeta): Promise<void> {
    try {
      if (meta.length !== this.#position - HEADER_BYTES) throw new RangeError('the body is not as long as its meta says')
      await this.#handle.write(encodeEntryHeader(meta), 0, HEADER_BYTES, 0)
      await this.#handle.close()
      await this.#owner.publish(this.#key, this.location.path, this.#position, meta.freshUntil, this.#room)
    } catch (error) {
      await this.discard()
      throw error
    }
  }

  async discard(): Promise<void> {
    try {
      // A second close of a FileHandle does nothing.
      await this.#handle.close()
    } finally {
      // Room is free when the file is gone, whatever became of its descriptor.
      await rm(this.location.path, { force: true }).finally(() => this.#owner.release(this.#room))
    }
  }
}

/** @returns undefined when the file isn't the whole, undamaged entry of this key. */
async function readMeta(handle: FileHandle, key: CacheKey): Promise<EntryMeta | undefined> {
  const block = Buffer.allocUnsafe(HEADER_BYTES)
  const { bytesRead } = await handle.read(block, 0, HEADER_BYTES, 0)
  if (bytesRead !== HEADER_BYTES) return undefined
  const meta = decodeEntryHeader(block)
  if (!meta || meta.path !== key.path) return undefined
  const { size } = await handle.stat()
  return size === HEADER_BYTES + meta.length ? meta : undefined
}
