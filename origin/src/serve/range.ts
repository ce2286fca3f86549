/** What a Range header asks of a body of `length` bytes: the first and last position, `unsatisfiable`, or nothing that counts. */
export type RangeVerdict = { first: number; last: number } | 'unsatisfiable' | undefined

const SINGLE = /^bytes=[\t ]*(\d{0,15})-(\d{0,15})[\t ]*$/i

/**
 * RFC 9110 §14.2: a Range that can't be understood is ignored, and so may be one with several ranges: they get the whole body.
 */
export function parseRange(header: string | undefined, length: number): RangeVerdict {
  const match = header === undefined ? null : SINGLE.exec(header)
  if (!match) return undefined
  const [, from = '', to = ''] = match
  if (from === '') {
    if (to === '') return undefined
    // §14.1.2: the last `to` bytes; more than there are means all of them.
    const suffix = Number(to)
    return suffix === 0 || length === 0 ? 'unsatisfiable' : { first: Math.max(0, length - suffix), last: length - 1 }
  }
  const first = Number(from)
  const last = to === '' ? length - 1 : Number(to)
  if (to !== '' && last < first) return undefined
  return first >= length ? 'unsatisfiable' : { first, last: Math.min(last, length - 1) }
}

/** RFC 9110 §13.1.5: If-Range takes a strong comparison; a date never matches, since we send none. */
export function ifRangeHolds(header: string | undefined, etag: string): boolean {
  return header === undefined || header.trim() === etag
}

/** RFC 9110 §13.1.2: weak comparison; `*` matches whatever is there. */
export function noneMatch(header: string | undefined, etag: string): boolean {
  if (header === undefined) return true
  if (header.trim() === '*') return false
  const tags = header.match(/(?:W\/)?"[^"]*"/g) ?? []
  return !tags.some((tag) => tag.replace(/^W\//, '') === etag)
}
