import type { EntryMeta, FillMeta, HeaderField } from '../cache/entry-meta.js'
import type { Judged, Resource, StalePolicy, Verdict } from '../cache/judge.js'

/** The caching rules that a fill follows: pure functions of RFC 9111. Times in Unix milliseconds. */
export interface Policy {
  /** Whether a response to a whole GET may be stored, and until when it is fresh. The time since `requestedAt` counts as age (§4.2.3). */
  judge(response: Judged & { requestedAt: number }, resource: Resource, now: number, maxObject: number, stale: StalePolicy): Verdict
  /**
   * Why a 304 with these fields doesn't let the entry be shared on (§3, §3.5); with none: why no 304 would that says nothing of it itself.
   */
  forbidsSharing(meta: EntryMeta, fields: readonly HeaderField[], resource: Resource): 'directive' | 'authorization' | undefined
  /** The entry as a 304 confirms it (§4.3.4); undefined when that 304 speaks of another representation, or of other variants. */
  refreshed(
    meta: EntryMeta,
    fields: readonly HeaderField[],
    now: number,
    resource: Resource,
    stale: StalePolicy,
    requestedAt: number,
  ): EntryMeta | undefined
  /** The request fields that ask whether an entry is still good (§4.3.1); empty when it has no validator. */
  validatorsOf(meta: EntryMeta): HeaderField[]
  /** Generic mode: whether a request with these fields may have a response as it is (§4.2, §5.2.1). */
  servesAsIs(meta: FillMeta, fields: readonly HeaderField[], now: number): boolean
  /** Generic mode: whether a response to one request (`asked`) is one to another, too, that had come before it was there (§4). */
  isShared(meta: FillMeta, asked: readonly HeaderField[], fields: readonly HeaderField[], now: number): boolean
  /** What is stored of a response's fields (§3.1); undefined when that is more than an entry can hold. */
  storableHeaders(fields: readonly HeaderField[], mode: Resource['mode']): HeaderField[] | undefined
}

/** Which of the responses to one URL a request may have, in generic mode (RFC 9111 §4.1). */
export interface Variants {
  /** The names in a Vary value, normalised; undefined for one by which nothing can be stored. */
  varyNames(vary: string | undefined): string[] | undefined
  /** What of a request's fields selects a variant; undefined when it is too long to be a key. */
  variantText(names: readonly string[], fields: readonly HeaderField[]): string | undefined
}
