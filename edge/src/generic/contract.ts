import type { BodyReader } from '../cache/body.js'
import type { EntryMeta, HeaderField } from '../cache/entry-meta.js'
import type { CacheKey } from '../cache/key.js'
import type { Exchange } from '../http/exchange.js'
import type { Sending } from '../http/send.js'
import type { BackgroundRevalidation } from '../keeper/background.js'
import type { Fill, FillHead, Keeper } from '../keeper/contract.js'
import type { OriginGroup } from '../origin/contract.js'
import type { Trace } from '../origin/trace.js'
import type { Tier } from '../phase.js'
import type { GenericPath } from './config.js'

/** What generic mode needs of the rest of the edge. */
export interface GenericDependencies {
  edgeId: string
  keeper: Keeper
  background: BackgroundRevalidation
  /** Reads stored entries; undefined when there is none, or a purge covers it. */
  entries: { open(key: CacheKey): Promise<StoredEntry | undefined> }
  /** The body of a fill whose head is ready; undefined when its bytes are gone already. */
  fillBody: (fill: Fill, head: Extract<FillHead, { kind: 'ready' }>, key: CacheKey) => BodyReader | undefined
  origins: OriginGroup
  paths: readonly GenericPath[]
  invalidations: Invalidations
  sending: (exchange: Exchange) => Sending
  now: () => number
}

export interface Invalidations {
  /**
   * Makes what is stored under these keys, and their variants, unusable. Resolves when no worker serves it any more, or it is known that
   * this has to be tried again; never rejects, because what has been executed at the origin is to be answered.
   */
  invalidate(keyTexts: readonly string[]): Promise<void>
  /** Whether what is stored under this key may be wrong, because that could not be told to the keeper yet. */
  doubtful(keyText: string): boolean
}

export interface StoredEntry {
  meta: EntryMeta
  body: BodyReader
  tier: Tier
}

/** One request of a generic path on its way through this edge. */
export interface GenericRun {
  exchange: Exchange
  /** All of the request. */
  fields: readonly HeaderField[]
  path: GenericPath
  deps: GenericDependencies
  trace: Trace | undefined
  /** The client left. */
  signal: AbortSignal
}
