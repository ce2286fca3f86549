import { type CacheControl, parseCacheControl } from './cache-control.js'
import { explicitLifetime, lifetimes } from './freshness.js'
import { heuristicallyCacheable, storableStatus, understood } from './status.js'
import { governing } from './targeted.js'
import { varyNames } from './vary.js'
import type { Judged, NoCacheReason, Resource, StalePolicy, Verdict } from './verdict.js'

export type { Judged, Lifetimes, NoCacheReason, Resource, StalePolicy, Verdict } from './verdict.js'

/**
 * Whether a response to a whole GET may be stored by this shared cache (RFC 9111 §3), until when it is fresh, and for how long it may be
 * served beyond. Times in Unix milliseconds.
 *
 * `Pragma` in a response says nothing (§5.4). `immutable` (RFC 8246) is about reloads in browsers. `max-age` and its like count at their
 * first occurrence; a lifetime that can't be read is one of zero.
 */
export function judge(given: Judged, resource: Resource, now: number, maxObject: number, stale: StalePolicy): Verdict {
  // Our own origins say what they mean in Cache-Control.
  const response = resource.mode === 'generic' ? { ...given, headers: governing(given.headers) } : given
  const control = parseCacheControl(response.headers['cache-control'])
  const reason =
    statusReason(response.status, control, resource) ??
    directiveReason(response.status, control, resource) ??
    selectionReason(response, resource) ??
    bodyReason(response, maxObject)
  if (reason !== undefined) return { store: false, reason }
  const times = lifetimes(response, control, resource, now, stale)
  // What can't be served now and can't be revalidated is of no use later; a stale one may still serve within its windows.
  const usable = times.freshUntil > now || now < times.freshUntil + Math.max(times.staleWhileRevalidate, times.staleIfError)
  if (!usable && !hasValidator(response.headers)) return { store: false, reason: 'no-lifetime' }
  if (resource.mode === 'generic' && !mayBeStored(response, control, now)) return { store: false, reason: 'no-lifetime' }
  return { store: true, ...times }
}

function statusReason(status: number, control: CacheControl, resource: Resource): NoCacheReason | undefined {
  // Redirects and errors are not media, and a 206 that nobody asked for is a part, never the whole (RFC 9111 §3.3).
  if (resource.mode === 'media') return status === 200 ? undefined : 'status'
  if (!storableStatus(status)) return 'status'
  // §3: "if the response status code is 206 or 304, or the must-understand cache directive is present: the cache understands the status code".
  return control.has('must-understand') && !understood(status) ? 'status' : undefined
}

/** Why a response may not be shared, by its directives: what it says itself, or doesn't say to an authorized request. */
export function directiveReason(status: number, control: CacheControl, resource: Resource): 'directive' | 'authorization' | undefined {
  // §5.2.2.3: a cache that knows must-understand and the status "SHOULD ignore the no-store directive"; else no-store holds.
  if (control.has('no-store') && !(control.has('must-understand') && understood(status))) return 'directive'
  // §5.2.2.7: "a shared cache MUST NOT store the response"; with field names this may be narrowed to those fields, which isn't done here.
  if (control.has('private')) return 'directive'
  // §3.5: "A shared cache MUST NOT use a cached response to a request with an Authorization header field to satisfy any subsequent request
  // unless the response contains a Cache-Control field with a response directive that allows it to be stored by a shared cache".
  const shared = control.has('public') || control.has('s-maxage') || control.has('must-revalidate')
  return resource.mode === 'generic' && resource.authorized && !shared ? 'authorization' : undefined
}

/** Whether the response is the one for everybody whom its key serves. */
function selectionReason({ headers }: Judged, resource: Resource): NoCacheReason | undefined {
  const names = varyNames(headers.vary)
  // §4.1: "A stored response with a Vary header field value containing a member "*" always fails to match."
  if (names === undefined) return 'vary'
  if (resource.mode === 'generic') return undefined
  // We send origins the same Accept-Encoding and no Origin for everyone, so answers that vary by these alone are one.
  if (!names.every((name) => name === 'accept-encoding' || name === 'origin')) return 'vary'
  // We ask for identity; coded bytes would be served to clients that can't read them.
  const coding = headers['content-encoding']
  return coding !== undefined && coding.toLowerCase() !== 'identity' ? 'encoded' : undefined
}

function bodyReason({ status, headers, length }: Judged, maxObject: number): NoCacheReason | undefined {
  if (length !== undefined) return length > maxObject ? 'too-large' : undefined
  // RFC 9110 §15.3.5, §15.3.6: these have no content.
  if (status === 204 || status === 205) return undefined
  // RFC 9112 §8: a body that only the closed connection ends can't be told from a truncated one.
  return /\bchunked\b/i.test(headers['transfer-encoding'] ?? '') ? undefined : 'unframed'
}

/** RFC 9111 §3, last item: an explicit lifetime, `public`, or a status that allows heuristics. */
function mayBeStored({ status, headers }: Judged, control: CacheControl, now: number): boolean {
  return explicitLifetime(headers, control, now) !== undefined || control.has('public') || heuristicallyCacheable(status)
}

function hasValidator(headers: Judged['headers']): boolean {
  return headers.etag !== undefined || headers['last-modified'] !== undefined
}
