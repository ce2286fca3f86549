import { parseHttpDate } from './date.js'

export interface Validators {
  etag?: string | undefined
  lastModified?: string | undefined
  /** When the representation was made or received, in Unix milliseconds; stands in where there is no Last-Modified (RFC 9111 §4.3.2). */
  receivedAt?: number | undefined
}

export interface Preconditions {
  ifMatch?: string | undefined
  ifUnmodifiedSince?: string | undefined
  ifNoneMatch?: string | undefined
  ifModifiedSince?: string | undefined
}

export type PreconditionResult = 'proceed' | 'not-modified' | 'failed'

/**
 * RFC 9110 §13.2.2, in its order: If-Match, without it If-Unmodified-Since; then If-None-Match, without it If-Modified-Since, the latter for
 * GET and HEAD alone. Ranges come after this, and only when it says `proceed`.
 *
 * @returns `not-modified` is a 304, `failed` a 412.
 */
export function checkPreconditions(method: string, request: Preconditions, validators: Validators): PreconditionResult {
  if (request.ifMatch !== undefined) {
    if (!listed(request.ifMatch, validators.etag, strongEqual)) return 'failed'
  } else if (request.ifUnmodifiedSince !== undefined) {
    const since = parseHttpDate(request.ifUnmodifiedSince)
    // §13.1.4: "A recipient MUST ignore the If-Unmodified-Since header field if the received field value is not a valid HTTP-date", or the
    // resource has no modification date.
    const modified = modifiedAt(validators)
    if (since !== undefined && modified !== undefined && modified > since) return 'failed'
  }
  const reading = method === 'GET' || method === 'HEAD'
  if (request.ifNoneMatch !== undefined) {
    if (!listed(request.ifNoneMatch, validators.etag, weakEqual)) return 'proceed'
    return reading ? 'not-modified' : 'failed'
  }
  return reading && unmodifiedSince(request.ifModifiedSince, validators) ? 'not-modified' : 'proceed'
}

/**
 * The part of §13.2.2 that a cache of immutable objects needs, for GET and HEAD: If-None-Match decides where it is present,
 * If-Modified-Since only without it.
 *
 * @returns whether 304 is the answer.
 */
export function notModified(request: Pick<Preconditions, 'ifNoneMatch' | 'ifModifiedSince'>, validators: Validators): boolean {
  if (request.ifNoneMatch !== undefined) return listed(request.ifNoneMatch, validators.etag, weakEqual)
  return unmodifiedSince(request.ifModifiedSince, validators)
}

/** §8.8.3.2: the opaque parts are equal, `W/` or not. */
export function weakEqual(a: string, b: string): boolean {
  return opaque(a) === opaque(b)
}

/** §8.8.3.2: equal, and neither is weak. */
export function strongEqual(a: string, b: string): boolean {
  return a === b && !a.startsWith('W/')
}

function unmodifiedSince(ifModifiedSince: string | undefined, validators: Validators): boolean {
  if (ifModifiedSince === undefined) return false
  const since = parseHttpDate(ifModifiedSince)
  const modified = modifiedAt(validators)
  return since !== undefined && modified !== undefined && modified <= since
}

function modifiedAt({ lastModified, receivedAt }: Validators): number | undefined {
  if (lastModified !== undefined) return parseHttpDate(lastModified)
  // An HTTP-date has whole seconds.
  return receivedAt === undefined ? undefined : Math.floor(receivedAt / 1000) * 1000
}

/** `*` matches whatever exists. */
function listed(header: string, etag: string | undefined, equal: (a: string, b: string) => boolean): boolean {
  if (header.trim() === '*') return true
  if (etag === undefined) return false
  for (const [tag] of header.matchAll(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g)) if (equal(tag, etag)) return true
  return false
}

function opaque(etag: string): string {
  return etag.startsWith('W/') ? etag.slice(2) : etag
}
