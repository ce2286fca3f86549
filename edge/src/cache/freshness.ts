import type { MediaClass } from '@millrace/common/contracts/media-url'
import { parseHttpDate } from '@millrace/common/http/date'
import { type CacheControl, parseDeltaSeconds } from './cache-control.js'
import type { Judged, Lifetimes, Resource, StalePolicy } from './verdict.js'

const HOUR = 3_600_000
const DAY = 24 * HOUR

/** Assets are immutable, so a response without a lifetime of its own keeps long; manifests less, in case an origin is not ours. */
const DEFAULT_LIFETIME: Record<MediaClass, number> = {
  segment: 30 * DAY,
  init: 30 * DAY,
  playlist: HOUR,
  text: 30 * DAY,
  image: 30 * DAY,
  download: 30 * DAY,
}

/** An HTTP-date names the second in which it was written; the origin may have written it at that second's end. */
const DATE_RESOLUTION = 999

/**
 * RFC 9111 §4.2.3: when the origin made the response, by whichever is older of what Age and Date say.
 *
 *   apparent_age = max(0, response_time - date_value);  corrected_age_value = age_value + (response_time - request_time)
 *   corrected_initial_age = max(apparent_age, corrected_age_value)
 */
export function bornAt({ headers, requestedAt }: Pick<Judged, 'headers' | 'requestedAt'>, now: number): number {
  const date = parseHttpDate(headers.date ?? '', now)
  const apparent = date === undefined ? 0 : now - date - DATE_RESOLUTION
  const corrected = ageValue(headers.age) * 1000 + (requestedAt === undefined ? 0 : now - requestedAt)
  return now - Math.max(0, apparent, corrected)
}

/** §5.1: of a list "a cache SHOULD use the first member"; one that is no non-negative integer "a cache SHOULD ignore". */
function ageValue(text: string | undefined): number {
  return parseDeltaSeconds((text ?? '').split(',', 1)[0]!.trim()) ?? 0
}

/**
 * §4.2.1, first match: s-maxage, max-age, Expires − Date. In milliseconds; undefined when the response has no explicit lifetime. An
 * unreadable one is 0: "Caches are encouraged to consider responses that have invalid freshness information [...] to be stale".
 */
export function explicitLifetime(headers: Judged['headers'], control: CacheControl, now: number): number | undefined {
  const directive = control.get('s-maxage') ?? control.get('max-age')
  if (directive !== undefined) return (parseDeltaSeconds(directive) ?? 0) * 1000
  if (headers.expires === undefined) return undefined
  // §5.3: "A cache recipient MUST interpret invalid date formats, especially the value "0", as representing a time in the past". Two lines
  // of Expires, joined, are invalid too.
  const expires = parseHttpDate(headers.expires, now)
  if (expires === undefined) return 0
  return Math.max(0, expires - (parseHttpDate(headers.date ?? '', now) ?? now))
}

/** From when, until when, and for how long beyond that a response may be served. `headers` as in `Judged`. */
export function lifetimes(
  response: Pick<Judged, 'headers' | 'requestedAt'>,
  control: CacheControl,
  resource: Resource,
  now: number,
  stale: StalePolicy,
): Lifetimes {
  const born = bornAt(response, now)
  // §5.2.2.4: no-cache "indicates that the response MUST NOT be used to satisfy any other request without forwarding it for validation".
  // The form with field names is taken for the one without, as the section allows.
  if (control.has('no-cache')) return { bornAt: born, freshUntil: born, staleWhileRevalidate: 0, staleIfError: 0 }
  const lifetime = explicitLifetime(response.headers, control, now) ?? (resource.mode === 'media' ? DEFAULT_LIFETIME[resource.media] : 0)
  return { bornAt: born, freshUntil: born + lifetime, ...staleWindows(control, resource, stale) }
}

/**
 * §5.2.2.10: s-maxage "incorporates the semantics of the proxy-revalidate response directive". What must not be kept, or not be shared, must
 * even less be served late.
 */
const FORBIDDING = ['must-revalidate', 'proxy-revalidate', 's-maxage', 'no-cache', 'no-store', 'private']

/** §4.2.4: "A cache MUST NOT generate a stale response if it is prohibited by an explicit in-protocol directive". */
export function staleForbidden(control: CacheControl): boolean {
  return FORBIDDING.some((name) => control.has(name))
}

/** RFC 5861 §3 and §4. Without such a directive media get the configured windows, a generic resource none. */
function staleWindows(
  control: CacheControl,
  resource: Resource,
  stale: StalePolicy,
): Pick<Lifetimes, 'staleWhileRevalidate' | 'staleIfError'> {
  if (staleForbidden(control)) return { staleWhileRevalidate: 0, staleIfError: 0 }
  const given = (name: string, otherwise: number) => {
    const directive = control.get(name)
    if (directive !== undefined) return (parseDeltaSeconds(directive) ?? 0) * 1000
    return resource.mode === 'media' ? otherwise : 0
  }
  return {
    staleWhileRevalidate: given('stale-while-revalidate', stale.whileRevalidate),
    staleIfError: given('stale-if-error', stale.ifError),
  }
}
