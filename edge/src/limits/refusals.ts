import { MillraceError } from '@millrace/common/errors'
import type { HeaderField } from '../cache/entry-meta.js'

/** RFC 6585 §4: "The 429 status code indicates that the user has sent too many requests in a given amount of time". */
export function rateLimited(): MillraceError {
  return new MillraceError('too many requests from this address', { code: 'rate-limited', source: 'client', retryable: true, status: 429 })
}

/** More requests at once than `limits.maxRequests`. */
export function edgeBusy(): MillraceError {
  return new MillraceError('this edge has too many requests at once', {
    code: 'edge-busy',
    source: 'internal',
    retryable: true,
    status: 503,
  })
}

/** RFC 9110 §10.2.3. */
export function retryAfter(seconds: number): HeaderField[] {
  return [['retry-after', String(seconds)]]
}
