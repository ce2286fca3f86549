export interface Validators {
  etag?: string | undefined
  lastModified?: string | undefined
}

/**
 * RFC 9110 §13.2.2 for GET and HEAD: If-None-Match decides where it is present, If-Modified-Since only without it.
 *
 * @returns whether 304 is the answer.
 */
export function notModified(
  request: { ifNoneMatch?: string | undefined; ifModifiedSince?: string | undefined },
  validators: Validators,
): boolean {
  if (request.ifNoneMatch !== undefined) return etagListed(request.ifNoneMatch, validators.etag)
  if (request.ifModifiedSince === undefined || validators.lastModified === undefined) return false
  const since = Date.parse(request.ifModifiedSince)
  const modified = Date.parse(validators.lastModified)
  return Number.isFinite(since) && Number.isFinite(modified) && modified <= since
}

/** Weak comparison (§8.8.3.2): the opaque parts are equal, `W/` or not. `*` matches whatever exists. */
function etagListed(header: string, etag: string | undefined): boolean {
  if (header.trim() === '*') return true
  if (etag === undefined) return false
  const wanted = opaque(etag)
  for (const [tag] of header.matchAll(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g)) if (opaque(tag) === wanted) return true
  return false
}

function opaque(etag: string): string {
  return etag.startsWith('W/') ? etag.slice(2) : etag
}
