import type { BodyLocation } from '../keeper/contract.js'
import type { EntryMeta } from './entry-meta.js'
import type { CacheKey } from './key.js'

/** Takes one response. Ends with one `commit` or `discard`. */
export interface EntryWriter {
  /** Where readers of any process find the bytes until the commit. */
  readonly location: BodyLocation
  /**
   * Chunks go in one after the other; the next may be given before the last one is written. None may change before its call resolves.
   *
   * @throws MillraceError `no-room` when the body outgrows what the store can free; the disk's own error otherwise.
   */
  write(chunk: Uint8Array): Promise<void>
  /** Bytes [start, end) of what was written. */
  readBack(start: number, end: number): Promise<Uint8Array>
  /** Makes the entry visible, whole, in the place of any older one. A failure leaves nothing behind. */
  commit(meta: EntryMeta): Promise<void>
  /** `write` and `commit` at once, for a body that is whole before the first byte of it was written: one write to the disk. */
  commitWhole?(meta: EntryMeta, body: readonly Uint8Array[]): Promise<void>
  discard(): Promise<void>
}

export interface DiskStats {
  path: string
  /** `out`: it failed and is left alone until it answers again. */
  state: 'in' | 'out'
  objects: number
  /** What entries and running writes take, overhead included. */
  bytes: number
  maxBytes: number
  evictedBytes: number
}

/** The keeper's side of the disk cache: room, order of use, what is there. Workers read the entries' files by themselves. */
export interface CacheStore {
  /** Whether an entry is indexed; it may be stale or damaged. Synchronous, so that a decision can rest on it. */
  has(hash: string): boolean
  /**
   * The entry's head, read and checked; undefined, and the index corrected, when there is no whole entry of this key; undefined, and
   * nothing changed, when it could not be read for want of descriptors or memory.
   */
  look(key: CacheKey): Promise<EntryMeta | undefined>
  /**
   * Makes room first. `length` in body bytes, undefined when the origin didn't say.
   *
   * @returns undefined when running writes leave no room for it, or no disk takes anything.
   * @throws the disk's error, which was also reported and may have taken the disk out.
   */
  create(key: CacheKey, length: number | undefined): Promise<EntryWriter | undefined>
  /** Writes a new head for the same body, as after a 304. @returns false when the entry with this id is no longer there. */
  rewrite(key: CacheKey, meta: EntryMeta): Promise<boolean>
  /** Counts as a use. */
  used(hash: string): void
  /** Drops an entry; with an id only the file that has it. */
  drop(hash: string, id?: string): Promise<void>
  /** Whether it was evicted lately, as far as that is remembered (a bounded set). */
  evicted(hash: string): boolean
  stats(): DiskStats[]
}

/** Where entries lie, for readers in any process: pure in the configured disks, their weights, and which of them are out. */
export interface EntryPlaces {
  /** The entry's file; undefined when every disk is out. */
  path(hash: string): string | undefined
  /** Takes disks out, or back in: these are out now, by their configured path. */
  setOut(paths: readonly string[]): void
}
