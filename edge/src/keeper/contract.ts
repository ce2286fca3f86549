import type { FillMeta, HeaderField } from '../cache/entry-meta.js'
import type { NoCacheReason } from '../cache/judge.js'
import type { CacheKey } from '../cache/key.js'
import type { Attempt, OriginAnswer } from '../origin/contract.js'
import type { Trace } from '../origin/trace.js'

/**
 * Owns fills, order of use, byte budget and purge generations, for one worker in its own process or for many from another one: whatever
 * crosses here is plain data, a path, or offsets. Workers read stored entries by themselves, by the path of their hash.
 */
export interface Keeper {
  /**
   * For a request that found no entry, or one that is not fresh. An entry that is there and fresh by now is `stored`; else the running
   * fill of this key is joined, or a new one begun. A stale entry is revalidated by its fill (RFC 9111 §4.3). In generic mode the request's
   * own Cache-Control counts as well: a fresh entry that it refuses is revalidated too.
   *
   * @throws MillraceError `edge-busy` (503) beyond `fetch.maxFills` or `fetch.maxWaiters`; `video-deleted` (410) instead of a fill of what
   *   is deleted for good
   */
  open(request: FillRequest): Promise<Opened>
  /** Where the keeper is in this process: whether there may be an entry, so that nobody looks on the disk for what isn't there. */
  mayHave?(hash: string): boolean
  /** An entry was served: it counts as used. Batched; never fails. */
  used(hash: string): void
  /** An entry cannot be read, or its bytes are wrong: it is dropped, unless the file with this id was replaced meanwhile. */
  damaged(hash: string, id: string): void
  /** Fetches ahead, when the budget allows; tells nothing. */
  prefetch(request: FillRequest): void
}

/** What a keeper tells its workers. Called in each worker; what they hold of these must not be served any more. */
export interface KeeperListener {
  /** Entries that were evicted, replaced, dropped or got new header fields: descriptors are closed, RAM copies forgotten. */
  gone(hashes: readonly string[]): void
  /** Cache disks, by their configured path, that are out now. */
  disksOut(paths: readonly string[]): void
  /** Calls of `gone` may have been missed: whatever is held may have changed. After the keeper's process was away. */
  reset(): void
}

/** What is to be fetched. */
export interface FillRequest {
  key: CacheKey
  /** Known origin ids, first to ask first. */
  order: readonly string[]
  upstream: Upstream
  /** Passed on to the origin; of the request that leads. */
  trace?: Trace
  /** If this request leads, it reads or discards an answer that is not to be stored, so that the origin isn't asked twice for what can't be cached. */
  takesAnswer?: boolean
}

export type Upstream =
  /** A data path of an asset: the edge's own request, the same for every viewer. */
  | { mode: 'media'; path: string }
  /** A GET in generic mode, with the client's end-to-end fields (no Range, no conditionals). */
  | { mode: 'generic'; path: string; headers: HeaderField[] }

/** Where a request's bytes are to be had. */
export type Opened =
  /** In the store and fresh, as it was found or because a fill has just confirmed it: read it again. */
  | { kind: 'stored'; revalidated: boolean }
  | { kind: 'fill'; fill: Fill; led: boolean }
  /** The origins asked have said lately that there is no such thing. */
  | { kind: 'missing' }
  /** Lately found uncacheable, or no room for it now (`not-now`, also of a keeper that is away), or the wait grew longer than `fetch.lockTimeout`: fetch it yourself. */
  | { kind: 'pass'; reason: PassReason }

/**
 * `not-now`: it could be cached, but there is no room; `lock-timeout`: the fill that leads is too slow; `not-shared`: what comes may be
 * stored, but answers no other request than the one that asked for it.
 */
export type PassReason = NoCacheReason | 'not-now' | 'lock-timeout' | 'not-shared'

/** Why an object had to be fetched; a metrics label. `evicted` as far as the keeper remembers. */
export const MISS_CAUSES = ['cold', 'evicted', 'expired', 'purged', 'replica-missing', 'damaged'] as const
export type MissCause = (typeof MISS_CAUSES)[number]

/** What a fill found out, told once. */
export type FillHead =
  | { kind: 'ready'; meta: FillMeta; cause: MissCause; first: Uint8Array; location: BodyLocation }
  /** A stale entry was confirmed by its origin (304) and is fresh again. */
  | { kind: 'stored'; revalidated: true }
  /** Not to be stored; with the answer that says so for a leader that takes it (`FillRequest.takesAnswer`). Nobody else touches it. */
  | { kind: 'pass'; reason: PassReason; answer?: OriginAnswer }
  /**
   * No origin gave it. Stale entries may now be served under stale-if-error. No attempts at all: the keeper's process went away (`lost`),
   * so that nothing is known of any origin, and the request asks again.
   */
  | { kind: 'failed'; attempts: Attempt[] }

/** Where the body of a fill lies beyond `first`, as far as `Growth.available` tells. */
export type BodyLocation =
  /** The file while it grows; whole, it has the name of its entry, and `FillMeta.id` in its header tells that it is the same. */
  | { kind: 'file'; path: string; bodyOffset: number }
  /** The cache disk takes nothing: the bytes are in this process and are gone with the fill. */
  | { kind: 'memory'; chunks: GrowingChunks }

/** Chunks so far, in order. */
export interface GrowingChunks {
  /** A view of [at, at + n), n ≥ 1, for at < `Growth.available`. */
  view(at: number): Uint8Array
}

export interface RecentBytes {
  /** Bytes from `at` on, at least one and not beyond `end`; undefined when they are not here. */
  view(at: number, end: number): Uint8Array | undefined
}

/** How far a body that is still being written can be read. */
export interface Growth {
  readonly available: number
  readonly state: 'running' | 'complete' | 'broken'
  /** Broken because its disk failed or the keeper's process went away, not because of an origin: another fill may have the rest. */
  readonly lost?: boolean
  /** Resolves when more than `offset` bytes are available or the state is final. */
  progress(offset: number): Promise<void>
}

/**
 * One transfer from an origin into the cache, which any number of requests read while it grows. It belongs to no request: a client that
 * leaves doesn't stop it.
 */
export interface Fill extends Growth {
  readonly head: Promise<FillHead>
  /**
   * In the fill's own process: where the whole body is since its file failed (`memory`), instead of where the head said. A fill of another
   * process is `lost` instead.
   */
  readonly moved?: BodyLocation | undefined
  /**
   * In the fill's own process: a body in memory stays there until what this returns is called; each reader does so once. Undefined when it
   * is gone already.
   */
  hold?(): (() => void) | undefined
  /** In the fill's own process: the newest bytes, which need no file. */
  readonly recent?: RecentBytes | undefined
  /** With `recent`: resolves when something has come since, or the state is final. */
  arrival?(): Promise<void>
  /** With `recent`: run before the fill's file goes away for good, for readers that have not opened it yet. @returns what takes it back */
  beforeGone?(open: () => Promise<void>): () => void
}
