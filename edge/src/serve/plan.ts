import { notModified, type Validators } from '@millrace/common/http/conditional'
import { type ByteRange, contentRange, ifRangeHolds, parseRanges } from '@millrace/common/http/range'
import type { HeaderField } from '../cache/entry-meta.js'
import type { RequestHeaders } from '../http/framing.js'
import { multipart } from '../http/multipart.js'
import type { Piece } from '../http/send.js'

/** How a representation of known length is answered. */
export type Plan =
  | { kind: 'not-modified' }
  | { kind: 'unsatisfiable'; fields: HeaderField[] }
  /** 200 whole, or 206 in pieces of `total` bytes; `fields` replace those of the same name. */
  | { kind: 'send'; status: number; fields: HeaderField[]; pieces: readonly Piece[]; total: number }

/** Whether a request asks for nothing but the whole. */
export function isPlain(headers: RequestHeaders): boolean {
  return headers.range === undefined && headers.ifNoneMatch === undefined && headers.ifModifiedSince === undefined
}

/** Whether the answer may be one of several parts. */
export function severalRanges(headers: RequestHeaders): boolean {
  return headers.range?.includes(',') === true
}

/** Preconditions before ranges (RFC 9110 §13.2.2). */
export function planAnswer(
  method: string,
  headers: RequestHeaders,
  representation: Validators & { length: number; contentType: string | undefined },
  boundary: () => string,
): Plan {
  if (notModified(headers, representation)) return { kind: 'not-modified' }
  const { length } = representation
  // RFC 9110 §14.2: a server MUST ignore Range with a method other than GET.
  const asked = method === 'GET' && ifRangeHolds(headers.ifRange, representation) ? headers.range : undefined
  const verdict = parseRanges(asked, length)
  switch (verdict.kind) {
    case 'whole':
      return { kind: 'send', status: 200, fields: [], pieces: [{ start: 0, end: length }], total: length }
    case 'unsatisfiable':
      return { kind: 'unsatisfiable', fields: [['content-range', contentRange(undefined, length)]] }
    case 'part':
      return onePart(verdict.range, length)
    case 'parts':
      return severalParts(verdict.ranges, length, representation.contentType, boundary())
  }
}

function onePart(range: ByteRange, length: number): Plan {
  return {
    kind: 'send',
    status: 206,
    fields: [['content-range', contentRange(range, length)]],
    pieces: [{ start: range.start, end: range.end + 1 }],
    total: range.end - range.start + 1,
  }
}

function severalParts(ranges: readonly ByteRange[], length: number, contentType: string | undefined, boundary: string): Plan {
  const made = multipart(ranges, length, contentType, boundary)
  const pieces: Piece[] = []
  for (const { head, range } of made.parts) pieces.push(head, { start: range.start, end: range.end + 1 })
  return { kind: 'send', status: 206, fields: [['content-type', made.contentType]], pieces: [...pieces, made.end], total: made.length }
}
