import type { EntryMeta } from './entry-header.js'
import type { CacheKey } from './key.js'

/** Reads one body. Whoever got it closes it. */
export interface BodyReader {
  /**
   * Reads up to `target.length` bytes from body offset `at`; waits when they are still to come.
   *
   * @returns the bytes read; 0 only at the body's clean end.
   * @throws MillraceError `body-broken` when they will never come.
   */
  read(target: Uint8Array, at: number): Promise<number>
  close(): Promise<void>
}

export interface StoredEntry {
  meta: EntryMeta
  body: BodyReader
}

/** Where a body lies, for readers of any process: readable from `bodyOffset` as far as the writer has told. */
export interface FileLocation {
  path: string
  bodyOffset: number
}

/** Takes one response. Ends with one `commit` or `discard`. */
export interface EntryWriter {
  /** Where the bytes are until the commit; absent in a store that has no files. */
  readonly location: FileLocation | undefined
  /** @throws MillraceError `no-room` when the body outgrows what the store can free. */
  write(chunk: Uint8Array): Promise<void>
  /** Makes the entry visible, whole, in the place of any older one. A failure leaves nothing behind. */
  commit(meta: EntryMeta): Promise<void>
  discard(): Promise<void>
}

export interface StoreStats {
  objects: number
  /** What entries and running writes take, overhead included. */
  bytes: number
  maxBytes: number
  evictedBytes: number
}

/** A bounded store of whole responses: the disk now, RAM above it later. One test suite is for all of them. */
export interface CacheStore {
  /** Whether `open` is worth a try: the entry is there and not known to be stale. Synchronous, so that a decision can rest on it. */
  mayHave(key: CacheKey): boolean
  /** A fresh, undamaged entry, which counts as used. Otherwise undefined, and `mayHave` knows from now on. */
  open(key: CacheKey): Promise<StoredEntry | undefined>
  /**
   * Makes room first. `length` in body bytes, undefined when the origin didn't say.
   *
   * @returns undefined when running writes leave no room for it.
   */
  create(key: CacheKey, length: number | undefined): Promise<EntryWriter | undefined>
  stats(): StoreStats
}
