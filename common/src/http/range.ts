/** Inclusive byte positions, as Content-Range writes them. */
export interface ByteRange {
  start: number
  end: number
}

export type RangeVerdict = { kind: 'whole' } | { kind: 'part'; range: ByteRange } | { kind: 'unsatisfiable' }

const WHOLE: RangeVerdict = { kind: 'whole' }

/**
 * RFC 9110 §14.1.2 and §14.2. One range is answered as a part. An unknown unit, bad syntax and several ranges are answered with the
 * whole: "A server MAY ignore the Range header field".
 *
 * @param length of the whole representation in bytes
 */
export function parseRange(header: string | undefined, length: number): RangeVerdict {
  if (header === undefined || header.length > 64) return WHOLE
  const match = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header)
  if (!match) return WHOLE
  const [, first, last] = match as unknown as [string, string, string]
  if (first === '') {
    if (last === '') return WHOLE
    // A suffix of zero bytes, or of an empty representation, selects nothing.
    const suffix = Math.min(Number(last), length)
    return suffix === 0 ? { kind: 'unsatisfiable' } : { kind: 'part', range: { start: length - suffix, end: length - 1 } }
  }
  const start = Number(first)
  const end = last === '' ? length - 1 : Math.min(Number(last), length - 1)
  if (last !== '' && Number(last) < start) return WHOLE
  return start >= length ? { kind: 'unsatisfiable' } : { kind: 'part', range: { start, end } }
}

/** RFC 9110 §14.4. */
export function contentRange(range: ByteRange | undefined, length: number): string {
  return range ? `bytes ${range.start}-${range.end}/${length}` : `bytes */${length}`
}

/**
 * RFC 9110 §13.1.5: whether the Range field counts under this If-Range. A weak validator never matches; a date must equal
 * Last-Modified exactly.
 */
export function ifRangeHolds(
  header: string | undefined,
  validators: { etag?: string | undefined; lastModified?: string | undefined },
): boolean {
  if (header === undefined) return true
  const value = header.trim()
  if (value.startsWith('"')) return value === validators.etag
  if (value.startsWith('W/')) return false
  return value !== '' && value === validators.lastModified
}
