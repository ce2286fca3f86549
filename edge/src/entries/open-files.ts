import { close, fstatSync, open, read } from 'node:fs'
import { crc32 } from 'node:zlib'
import { MillraceError } from '@millrace/common/errors'
import { LRUCache } from 'lru-cache'
import { BLOCK_BYTES, BODY_BROKEN, type BodyReader } from '../cache/body.js'
import { BODY_OFFSET, blockCount, decodeHeader, decodeTable, fileBytes } from '../cache/entry-format.js'
import type { EntryMeta } from '../cache/entry-meta.js'
import type { CacheKey } from '../cache/key.js'
import type { EntryPlaces } from '../cache/store.js'
import type { PreparedHead } from './prepared-head.js'

export interface OpenFilesOptions {
  places: EntryPlaces
  /** Descriptors kept open for entries in use lately. */
  maxOpen: number
  /** For how long a block that was checked, of a file that has not changed, is not checked again; in milliseconds. */
  verifyMs: number
  now: () => number
  prepare: (meta: EntryMeta) => PreparedHead
  /** An entry's file is not what it should be; the keeper is to drop it. */
  onDamaged: (hash: string, id: string, error: MillraceError) => void
  onVerified: (blocks: number) => void
}

/** An entry whose file is open. Its descriptor holds the file when the entry is evicted or replaced. */
export class OpenEntry {
  readonly hash: string
  readonly meta: EntryMeta
  readonly head: PreparedHead
  readonly fd: number
  readonly table: Uint32Array
  /** When each block was last checked; Unix milliseconds. */
  readonly checkedAt: Float64Array
  /** Of the file when its blocks were checked: any write to it changes this. */
  changedAt: number
  /** Bodies that are being read. */
  readers = 0
  uses = 0
  /** When it was last counted as used, in whole seconds. */
  countedAt = 0
  /** No longer to be found: closed with its last reader. */
  left = false
  /** Its descriptor is closed, and its number may already be that of another file. */
  closed = false

  constructor(hash: string, meta: EntryMeta, head: PreparedHead, fd: number, table: Uint32Array, changedAt: number) {
    this.hash = hash
    this.meta = meta
    this.head = head
    this.fd = fd
    this.table = table
    this.changedAt = changedAt
    this.checkedAt = new Float64Array(table.length)
  }
}

/** Damaged entries that are remembered until their files are dropped. */
const MAX_DAMAGED = 1000

/** Stored entries as this process reads them: opened by the path of their hash, kept open while they are in use. */
export class OpenFiles {
  readonly #options: OpenFilesOptions
  /** Ids of entries that are not to be found again: the keeper may take a moment to drop one. */
  readonly #bad = new LRUCache<string, true>({ max: MAX_DAMAGED })
  readonly #entries: LRUCache<string, OpenEntry>
  readonly #opening = new Map<string, Promise<OpenEntry | undefined>>()

  constructor(options: OpenFilesOptions) {
    this.#options = {
      ...options,
      onDamaged: (hash, id, error) => {
        if (this.#bad.has(id)) return
        if (id !== '') this.#bad.set(id, true)
        options.onDamaged(hash, id, error)
      },
    }
    this.#entries = new LRUCache({ max: options.maxOpen, dispose: (entry) => this.#leave(entry) })
  }

  get open(): number {
    return this.#entries.size
  }

  /** Only what is open already. */
  get(hash: string): OpenEntry | undefined {
    return this.#entries.get(hash)
  }

  /** @returns undefined when there is no whole entry of this key. @throws the disk's error */
  async find(key: CacheKey): Promise<OpenEntry | undefined> {
    const known = this.#entries.get(key.hash)
    if (known) return known
    const opening = this.#opening.get(key.hash)
    if (opening) return opening
    const opened = this.#open(key).finally(() => {
      if (this.#opening.get(key.hash) === opened) this.#opening.delete(key.hash)
    })
    this.#opening.set(key.hash, opened)
    return opened
  }

  /**
   * A reader of the entry's body. An entry that nobody reads may be closed at any time, so this comes in the same turn as `find`.
   *
   * @throws MillraceError `body-broken` for an entry that is closed: it is to be found again
   */
  body(entry: OpenEntry): BodyReader {
    if (entry.closed) throw damage(`the cache file ${entry.hash} was closed meanwhile`)
    return new StoredBody(entry, this.#options, () => {
      entry.readers--
      closeUnread(entry)
    })
  }

  forget(hash: string): void {
    // What is being opened now may be the file that has just gone: its waiters get it, nobody after them.
    this.#opening.delete(hash)
    this.#entries.delete(hash)
  }

  clear(): void {
    this.#opening.clear()
    this.#entries.clear()
  }

  async #open(key: CacheKey): Promise<OpenEntry | undefined> {
    const path = this.#options.places.path(key.hash)
    if (path === undefined) return undefined
    const fd = await openFile(path)
    if (fd === undefined) return undefined
    let entry: OpenEntry | undefined
    try {
      entry = await this.#read(fd, key)
    } finally {
      if (!entry) close(fd, () => undefined)
    }
    if (!entry) return undefined
    const current = this.#entries.get(key.hash)
    if (current || !this.#opening.has(key.hash)) {
      entry.left = true
      // Its waiters run before this does. Those that only needed its head have no reader that would close it.
      setImmediate(closeUnread, entry)
    } else this.#entries.set(key.hash, entry)
    return entry
  }

  async #read(fd: number, key: CacheKey): Promise<OpenEntry | undefined> {
    const block = Buffer.allocUnsafe(BODY_OFFSET)
    if ((await readFully(fd, block, 0)) !== BODY_OFFSET) return this.#damaged(key, '', 'has no whole header')
    let header = decodeHeader(block)
    if (!header) {
      // A new head may be being written in its place just now.
      await readFully(fd, block, 0)
      header = decodeHeader(block)
    }
    if (!header || header.meta.key !== key.text) return this.#damaged(key, header?.meta.id ?? '', 'has no valid header')
    const { meta } = header
    if (this.#bad.has(meta.id)) return undefined
    const stat = fstatSync(fd)
    if (stat.size !== fileBytes(meta.length)) return this.#damaged(key, meta.id, 'is not as long as its header says')
    const trailer = Buffer.allocUnsafe(blockCount(meta.length) * 4)
    await readFully(fd, trailer, BODY_OFFSET + meta.length)
    const table = decodeTable(trailer, header)
    if (!table) return this.#damaged(key, meta.id, 'has a damaged table of checksums')
    return new OpenEntry(key.hash, meta, this.#options.prepare(meta), fd, table, stat.ctimeMs)
  }

  #damaged(key: CacheKey, id: string, what: string): undefined {
    this.#options.onDamaged(key.hash, id, damage(`the cache file ${key.hash} ${what}`))
  }

  #leave(entry: OpenEntry): void {
    entry.left = true
    closeUnread(entry)
  }
}

function closeUnread(entry: OpenEntry): void {
  if (!entry.left || entry.readers > 0 || entry.closed) return
  entry.closed = true
  close(entry.fd, () => undefined)
}

/** A whole body in an open file. Blocks are checked before their bytes are given out. */
class StoredBody implements BodyReader {
  readonly #entry: OpenEntry
  readonly #options: OpenFilesOptions
  readonly #onClosed: () => void
  #closed = false

  constructor(entry: OpenEntry, options: OpenFilesOptions, onClosed: () => void) {
    this.#entry = entry
    this.#options = options
    this.#onClosed = onClosed
    entry.readers++
    // A file that was written to since its blocks were checked is checked anew.
    const { ctimeMs } = fstatSync(entry.fd)
    if (ctimeMs !== entry.changedAt) {
      entry.changedAt = ctimeMs
      entry.checkedAt.fill(0)
    }
  }

  async read(buffer: Buffer, at: number, end: number): Promise<Uint8Array> {
    const { meta, fd } = this.#entry
    const limit = Math.min(end, meta.length)
    if (at >= limit) return buffer.subarray(0, 0)
    const first = Math.floor(at / BLOCK_BYTES)
    // Checked blocks can be read from anywhere; others only whole.
    let from = at
    let to = Math.min(limit, at + buffer.length)
    const last = Math.floor((to - 1) / BLOCK_BYTES)
    const unchecked = !this.#checked(first, last)
    if (unchecked) {
      from = first * BLOCK_BYTES
      const whole = from + buffer.length - (buffer.length % BLOCK_BYTES)
      to = Math.min(meta.length, whole, (last + 1) * BLOCK_BYTES)
    }
    const wanted = to - from
    let got = 0
    try {
      got = await readFully(fd, buffer.subarray(0, wanted), BODY_OFFSET + from)
    } catch (error) {
      throw this.#damaged('cannot be read', error)
    }
    if (got !== wanted) throw this.#damaged('ends early')
    if (unchecked) this.#verify(buffer, from, to)
    return buffer.subarray(at - from, Math.min(to, limit) - from)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#onClosed()
  }

  #checked(first: number, last: number): boolean {
    const { verifyMs, now } = this.#options
    if (verifyMs === 0) return false
    const since = now() - verifyMs
    for (let block = first; block <= last; block++) if (this.#entry.checkedAt[block]! < since) return false
    return true
  }

  #verify(buffer: Buffer, from: number, to: number): void {
    const { table, checkedAt } = this.#entry
    const now = this.#options.now()
    let blocks = 0
    for (let at = from; at < to; at += BLOCK_BYTES) {
      const block = at / BLOCK_BYTES
      const bytes = buffer.subarray(at - from, Math.min(at + BLOCK_BYTES, to) - from)
      if (crc32(bytes) !== table[block]) throw this.#damaged(`has a wrong checksum in block ${block}`)
      checkedAt[block] = now
      blocks++
    }
    this.#options.onVerified(blocks)
  }

  #damaged(what: string, cause?: unknown): MillraceError {
    const { hash, meta } = this.#entry
    const error = damage(`the cache file ${hash} ${what}`, cause)
    this.#options.onDamaged(hash, meta.id, error)
    return error
  }
}

function damage(message: string, cause?: unknown): MillraceError {
  return new MillraceError(message, { code: BODY_BROKEN, source: 'disk', retryable: true, cause })
}

function openFile(path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    open(path, 'r', (error, fd) => {
      if (!error) resolve(fd)
      else if (error.code === 'ENOENT') resolve(undefined)
      else reject(error)
    })
  })
}

/** @returns fewer bytes than asked for only at the file's end */
function readFully(fd: number, target: Buffer, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let done = 0
    const next = () => {
      read(fd, target, done, target.length - done, position + done, (error, bytes) => {
        if (error) return reject(error)
        done += bytes
        if (bytes === 0 || done === target.length) resolve(done)
        else next()
      })
    }
    if (target.length === 0) resolve(0)
    else next()
  })
}
