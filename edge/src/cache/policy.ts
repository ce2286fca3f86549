import type { MediaClass } from '@millrace/common/contracts/media-url'

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

export type NoCacheReason = 'status' | 'directive' | 'encoded' | 'vary' | 'too-large' | 'unframed' | 'expired'

export type Verdict = { store: true; bornAt: number; freshUntil: number } | { store: false; reason: NoCacheReason }

/** A response's head as far as caching cares; header names in lower case. */
export interface Judged {
  status: number
  headers: Readonly<Record<string, string | undefined>>
  /** Body bytes, where the origin says so. */
  length: number | undefined
}

/** Whether a response to a whole GET may be stored by this shared cache, and until when it is fresh. Times in Unix milliseconds. */
export function judge(response: Judged, media: MediaClass, now: number, maxObject: number): Verdict {
  // A 206 that nobody asked for is a part, never the whole (RFC 9111 §3.3); redirects and errors are not media.
  if (response.status !== 200) return { store: false, reason: 'status' }
  const control = parseCacheControl(response.headers['cache-control'] ?? '')
  // RFC 9111 §3: a shared cache MUST NOT store no-store or private responses. no-cache would need revalidation at each use.
  if (control.has('no-store') || control.has('private') || control.has('no-cache')) return { store: false, reason: 'directive' }
  // We ask for identity; coded bytes would be served to clients that can't read them.
  const coding = response.headers['content-encoding']
  if (coding !== undefined && coding.toLowerCase() !== 'identity') return { store: false, reason: 'encoded' }
  if (!varyIsHarmless(response.headers.vary)) return { store: false, reason: 'vary' }
  if (response.length !== undefined && response.length > maxObject) return { store: false, reason: 'too-large' }
  // RFC 9112 §8: a body that only the closed connection ends can't be told from a truncated one.
  const chunked = /\bchunked\b/i.test(response.headers['transfer-encoding'] ?? '')
  if (response.length === undefined && !chunked) return { store: false, reason: 'unframed' }
  const bornAt = now - (parseDeltaSeconds(response.headers.age) ?? 0) * 1000
  // RFC 9111 §4.2.1: s-maxage wins over max-age in a shared cache; an unreadable lifetime counts as stale.
  const directive = control.get('s-maxage') ?? control.get('max-age')
  const lifetime = directive === undefined ? DEFAULT_LIFETIME[media] : (parseDeltaSeconds(directive) ?? 0) * 1000
  const freshUntil = bornAt + lifetime
  return freshUntil > now ? { store: true, bornAt, freshUntil } : { store: false, reason: 'expired' }
}

/** Directive names in lower case to their arguments, unquoted; '' for none. The first of a repeated directive counts. */
export function parseCacheControl(text: string): Map<string, string> {
  const directives = new Map<string, string>()
  for (const [, name, quoted, token] of text.matchAll(/([!#$%&'*+.^_`|~\w-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]*)))?/g)) {
    const key = name!.toLowerCase()
    if (!directives.has(key)) directives.set(key, quoted ?? token ?? '')
  }
  return directives
}

/** RFC 9111 §1.2.2: digits; what overflows is taken as 2^31. */
function parseDeltaSeconds(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d+$/.test(text)) return undefined
  return Math.min(Number(text), 2 ** 31)
}

/** We send origins the same Accept-Encoding and no Origin for everyone, so answers that vary by these alone are one. */
function varyIsHarmless(vary: string | undefined): boolean {
  if (vary === undefined) return true
  return vary
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .every((name) => name === '' || name === 'accept-encoding' || name === 'origin')
}
