import { strongEqual, weakEqual } from '@millrace/common/http/conditional'
import { flatten } from '../http/fields.js'
import { type CacheControl, parseCacheControl } from './cache-control.js'
import { type EntryMeta, type HeaderField, headerOf } from './entry-meta.js'
import { lifetimes } from './freshness.js'
import { storableHeaders } from './headers.js'
import { directiveReason } from './judge.js'
import { governing } from './targeted.js'
import { varyNames } from './vary.js'
import type { Judged, Resource, StalePolicy } from './verdict.js'

/**
 * What makes the request for a stale entry conditional. RFC 9111 §4.3.1: both validators, If-None-Match being the one that a server prefers
 * (RFC 9110 §13.2.2). Empty when there is nothing to validate with.
 */
export function validatorsOf(meta: Pick<EntryMeta, 'headers'>): HeaderField[] {
  const conditions: HeaderField[] = []
  const etag = headerOf(meta, 'etag')
  const lastModified = headerOf(meta, 'last-modified')
  if (etag !== undefined) conditions.push(['if-none-match', etag])
  if (lastModified !== undefined) conditions.push(['if-modified-since', lastModified])
  return conditions
}

/**
 * RFC 9111 §3.2: header fields that a 304 doesn't change: Content-Length and those that the stored bytes depend on. And the ETag: the one that
 * names these bytes stays, should the 304 have it as a weak one.
 */
const UNCHANGED: ReadonlySet<string> = new Set(['content-encoding', 'content-length', 'content-range', 'content-type', 'etag'])

/**
 * Why a 304 doesn't let a stored response be shared on: it is a response itself, for which §3 and §3.5 hold as for any other.
 *
 * @param fields of the 304, names in lower case; none for what can be told before it is asked for
 */
export function forbidsSharing(
  meta: Pick<EntryMeta, 'headers' | 'status'>,
  fields: readonly HeaderField[],
  resource: Resource,
): 'directive' | 'authorization' | undefined {
  return directiveReason(meta.status, controlOf(flatten(merge(meta.headers, lifetimeFields(fields))), resource), resource)
}

/**
 * A stored entry as a 304 to its validators leaves it: "the cache MUST update its header fields with the header fields provided in the 304"
 * (§4.3.4).
 *
 * @param fields of the 304, names in lower case
 * @returns undefined when the 304 is about another representation, or selects by other request fields than those by which the entry was
 *   filed: it confirms nothing here
 */
export function refreshed(
  meta: EntryMeta,
  fields: readonly HeaderField[],
  now: number,
  resource: Resource,
  stale: StalePolicy,
  requestedAt?: number,
): EntryMeta | undefined {
  const given = flatten(fields)
  if (!sameRepresentation(meta, given) || !sameSelection(meta, given, resource)) return undefined
  const update = storableHeaders(fields, resource.mode)?.filter(([name]) => !UNCHANGED.has(name))
  // A head that has outgrown its place stays as it was; how long it is fresh does not depend on that.
  const headers = storableHeaders(merge(meta.headers, update ?? []), resource.mode) ?? meta.headers
  // Age and Date are those of the 304: it is the newer response (§4.2.3).
  const merged = flatten(merge(meta.headers, lifetimeFields(fields)))
  const current: Judged['headers'] = { ...(resource.mode === 'generic' ? governing(merged) : merged), age: given.age, date: given.date }
  const times = lifetimes({ headers: current, requestedAt }, parseCacheControl(current['cache-control']), resource, now, stale)
  return { ...meta, headers, ...times }
}

function controlOf(headers: Judged['headers'], resource: Resource): CacheControl {
  return parseCacheControl((resource.mode === 'generic' ? governing(headers) : headers)['cache-control'])
}

/** In generic mode Vary is a part of where an entry lies: of media all requests are alike. */
function sameSelection(meta: EntryMeta, given: Record<string, string | undefined>, resource: Resource): boolean {
  if (resource.mode === 'media' || given.vary === undefined) return true
  return varyNames(given.vary)?.join() === varyNames(headerOf(meta, 'vary'))?.join()
}

/**
 * §4.3.4: a strong validator in a 304 must be the stored one; without it a weak one must correspond. A 304 without any is taken for a
 * confirmation: it answers validators that were those of this entry alone.
 */
function sameRepresentation(meta: EntryMeta, given: Record<string, string | undefined>): boolean {
  const etag = headerOf(meta, 'etag')
  if (given.etag !== undefined) {
    // "If none [...] contains at least one of the same strong validators, then the cache MUST NOT use the new response to update".
    if (!given.etag.startsWith('W/')) return etag !== undefined && strongEqual(given.etag, etag)
    if (etag !== undefined) return weakEqual(given.etag, etag)
  }
  const lastModified = headerOf(meta, 'last-modified')
  return given['last-modified'] === undefined || lastModified === undefined || given['last-modified'] === lastModified
}

const LIFETIME_FIELDS: ReadonlySet<string> = new Set(['cache-control', 'cdn-cache-control', 'expires'])

function lifetimeFields(fields: readonly HeaderField[]): HeaderField[] {
  return fields.filter(([name]) => LIFETIME_FIELDS.has(name))
}

/** All lines of a name give way to all new ones, in the place of the first; new names come last. */
function merge(old: readonly HeaderField[], update: readonly HeaderField[]): HeaderField[] {
  const merged: HeaderField[] = []
  const placed = new Set<string>()
  const place = (name: string) => {
    if (!placed.has(name)) merged.push(...update.filter(([other]) => other === name))
    placed.add(name)
  }
  const changed = new Set(update.map(([name]) => name))
  for (const field of old) {
    if (changed.has(field[0])) place(field[0])
    else merged.push(field)
  }
  for (const [name] of update) place(name)
  return merged
}
