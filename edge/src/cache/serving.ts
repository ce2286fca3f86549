import { fieldValue } from '../http/fields.js'
import { type CacheControl, parseCacheControl, parseDeltaSeconds } from './cache-control.js'
import { type EntryMeta, type HeaderField, headerOf } from './entry-meta.js'
import { staleForbidden } from './freshness.js'
import { governing } from './targeted.js'

/**
 * How a stored entry may be used now.
 *
 *   fresh             as it is
 *   while-revalidate  as it is, while somebody asks the origin (RFC 5861 §3)
 *   if-error          only when no origin can answer (RFC 5861 §4)
 *   stale             only after an origin has confirmed it
 */
export type Staleness = 'fresh' | 'while-revalidate' | 'if-error' | 'stale'

export type StoredTimes = Pick<EntryMeta, 'freshUntil' | 'staleWhileRevalidate' | 'staleIfError'>

export function staleness(meta: StoredTimes, now: number): Staleness {
  // RFC 9111 §4.2: response_is_fresh = (freshness_lifetime > current_age)
  if (now < meta.freshUntil) return 'fresh'
  if (now < meta.freshUntil + meta.staleWhileRevalidate) return 'while-revalidate'
  return servesOnError(meta, now) ? 'if-error' : 'stale'
}

/** Whether it may stand in for an origin that can't answer, whatever its window for revalidation says. */
export function servesOnError(meta: StoredTimes, now: number): boolean {
  return now < meta.freshUntil + meta.staleIfError
}

/**
 * What a request in generic mode says of caching (RFC 9111 §5.2.1). On media paths requests have no say: their objects are immutable, and
 * else a viewer could make the edge and its origins work harder by a header alone. Durations in milliseconds.
 */
export interface RequestDirectives {
  noCache: boolean
  noStore: boolean
  onlyIfCached: boolean
  maxAge: number | undefined
  minFresh: number
  /** How stale it may be; Infinity for `max-stale` without an argument. */
  maxStale: number
}

/** `Pragma: no-cache` counts only where there is no Cache-Control (§5.4). */
export function requestDirectives(cacheControl: string | undefined, pragma: string | undefined): RequestDirectives {
  const control = parseCacheControl(cacheControl)
  return {
    noCache: control.has('no-cache') || (cacheControl === undefined && parseCacheControl(pragma).has('no-cache')),
    noStore: control.has('no-store'),
    onlyIfCached: control.has('only-if-cached'),
    // A max-age that can't be read asks for something fresher than what is here, which is always right to give.
    maxAge: control.has('max-age') ? (milliseconds(control, 'max-age') ?? 0) : undefined,
    minFresh: milliseconds(control, 'min-fresh') ?? 0,
    maxStale: control.get('max-stale') === '' ? Number.POSITIVE_INFINITY : (milliseconds(control, 'max-stale') ?? 0),
  }
}

export type ServedMeta = StoredTimes & Pick<EntryMeta, 'bornAt' | 'headers'>

/**
 * What to do with a stored entry for one request.
 *
 *   serve       as it is
 *   background  serve it as it is, and have it revalidated
 *   validate    ask the origin first, because it is stale
 *   forward     ask the origin first, because this request wants that of a fresh one
 */
export type Use = 'serve' | 'background' | 'validate' | 'forward'

export function useOf(meta: ServedMeta, directives: RequestDirectives, now: number): Use {
  const state = staleness(meta, now)
  const age = now - meta.bornAt
  if (state === 'fresh') return isWanted(meta, directives, now) ? 'serve' : 'forward'
  // §5.2.1.2: max-stale "will accept a response that has exceeded its freshness lifetime"; the origin's directives stand above it (§4.2.4).
  const accepts = now - meta.freshUntil < directives.maxStale && !staleForbidden(storedControl(meta))
  const inTime =
    !directives.noCache && directives.minFresh === 0 && (directives.maxAge === undefined || age <= directives.maxAge + directives.maxStale)
  if (accepts && inTime) return 'serve'
  return state === 'while-revalidate' && inTime ? 'background' : 'validate'
}

/** Whether a request may have a response as it is, stored or still coming. @param fields of the request, names in lower case */
export function servesAsIs(meta: ServedMeta, fields: readonly HeaderField[], now: number): boolean {
  return useOf(meta, directivesOf(fields), now) === 'serve'
}

/**
 * Whether the response to one request is one to another, too, that had come before it was there. RFC 9111 §4 lets a cache collapse requests,
 * and has it forward those for which it can't use what comes. Who asked before has lost nothing by a short lifetime. But no-cache "MUST NOT be
 * used to satisfy any other request" (§5.2.2.4), and what a request wants holds unless the first one had asked for it as well.
 */
export function isShared(meta: ServedMeta, asked: readonly HeaderField[], fields: readonly HeaderField[], now: number): boolean {
  if (validatedAtEachUse(meta)) return false
  const alike = ['cache-control', 'pragma'].every((name) => fieldValue(asked, name) === fieldValue(fields, name))
  return alike || isWanted(meta, directivesOf(fields), now)
}

/** §5.2.1.1, §5.2.1.3, §5.2.1.4 */
function isWanted(meta: ServedMeta, { noCache, maxAge, minFresh }: RequestDirectives, now: number): boolean {
  return !noCache && (maxAge === undefined || now - meta.bornAt <= maxAge) && (minFresh === 0 || meta.freshUntil - now >= minFresh)
}

function directivesOf(fields: readonly HeaderField[]): RequestDirectives {
  return requestDirectives(fieldValue(fields, 'cache-control'), fieldValue(fields, 'pragma'))
}

/** Whether its origin wants to be asked before each use (RFC 9111 §5.2.2.4). */
export function validatedAtEachUse(meta: Pick<EntryMeta, 'headers'>): boolean {
  return storedControl(meta).has('no-cache')
}

function storedControl(meta: Pick<EntryMeta, 'headers'>): CacheControl {
  const of = (name: string) => headerOf(meta, name)
  return parseCacheControl(
    governing({ 'cache-control': of('cache-control'), 'cdn-cache-control': of('cdn-cache-control') })['cache-control'],
  )
}

function milliseconds(control: CacheControl, name: string): number | undefined {
  const seconds = parseDeltaSeconds(control.get(name))
  return seconds === undefined ? undefined : seconds * 1000
}
