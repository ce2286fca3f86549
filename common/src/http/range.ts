import type { Validators } from './conditional.js'
import { parseHttpDate } from './date.js'

/** Inclusive byte positions, as Content-Range writes them. */
export interface ByteRange {
  start: number
  end: number
}

export type RangeVerdict = { kind: 'whole' } | { kind: 'part'; range: ByteRange } | { kind: 'unsatisfiable' }
export type RangesVerdict = RangeVerdict | { kind: 'parts'; ranges: ByteRange[] }

const WHOLE = { kind: 'whole' } as const
const UNSATISFIABLE = { kind: 'unsatisfiable' } as const

const MAX_HEADER = 256
const MAX_RANGES = 8
/** About what the head of a part takes: closer ranges are cheaper in one part (RFC 9110 §15.3.7.2). */
const GAP = 80

/**
 * RFC 9110 §14.1.2 and §14.2. One range is answered as a part. An unknown unit, bad syntax and several ranges are answered with the
 * whole: "A server MAY ignore the Range header field".
 *
 * @param length of the whole representation in bytes
 */
export function parseRange(header: string | undefined, length: number): RangeVerdict {
  if (header === undefined || header.length > 64) return WHOLE
  const match = /^bytes=(.*)$/i.exec(header)
  const range = match && readRange(match[1]!, length)
  if (!range) return WHOLE
  return range === 'unsatisfiable' ? UNSATISFIABLE : { kind: 'part', range }
}

/**
 * The same with several ranges, in the order asked (§15.3.7.2). Of those that can't be satisfied the others are left. A set that costs more
 * than it is worth is answered with the whole: more than 8 ranges, or more bytes in sum than there are (§14.2 on "egregious range
 * requests"). Ranges that overlap or nearly touch become one, in the place of the first.
 */
export function parseRanges(header: string | undefined, length: number): RangesVerdict {
  if (header === undefined || header.length > MAX_HEADER) return WHOLE
  const match = /^bytes=(.*)$/i.exec(header)
  if (!match) return WHOLE
  // §5.6.1.2: a recipient MUST parse and ignore a reasonable number of empty list elements.
  const specs = match[1]!.split(',').filter((spec) => !/^[ \t]*$/.test(spec))
  if (specs.length === 0 || specs.length > MAX_RANGES) return WHOLE
  const asked: ByteRange[] = []
  for (const spec of specs) {
    const range = readRange(spec, length)
    if (range === undefined) return WHOLE
    if (range !== 'unsatisfiable') asked.push(range)
  }
  if (asked.length === 0) return UNSATISFIABLE
  if (asked.length > 1 && asked.reduce((sum, { start, end }) => sum + end - start + 1, 0) > length) return WHOLE
  const ranges = coalesced(asked)
  return ranges.length === 1 ? { kind: 'part', range: ranges[0]! } : { kind: 'parts', ranges }
}

/** @returns undefined for bad syntax. */
function readRange(spec: string, length: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^[ \t]*(\d*)-(\d*)[ \t]*$/.exec(spec)
  if (!match) return undefined
  const [, first, last] = match as unknown as [string, string, string]
  if (first === '') {
    if (last === '') return undefined
    // A suffix of zero bytes, or of an empty representation, selects nothing.
    const suffix = Math.min(Number(last), length)
    return suffix === 0 ? 'unsatisfiable' : { start: length - suffix, end: length - 1 }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return undefined
  return start >= length ? 'unsatisfiable' : { start, end: last === '' ? length - 1 : Math.min(Number(last), length - 1) }
}

function coalesced(asked: readonly ByteRange[]): ByteRange[] {
  const ranges: ByteRange[] = []
  for (const next of asked) {
    let grown = next
    let place = ranges.length
    // A range that grew may now touch one that it didn't before.
    for (let at = touching(ranges, grown); at >= 0; at = touching(ranges, grown)) {
      const [other] = ranges.splice(at, 1) as [ByteRange]
      grown = { start: Math.min(grown.start, other.start), end: Math.max(grown.end, other.end) }
      place = Math.min(place, at)
    }
    ranges.splice(place, 0, grown)
  }
  return ranges
}

function touching(ranges: readonly ByteRange[], range: ByteRange): number {
  return ranges.findIndex(({ start, end }) => range.start <= end + GAP && start <= range.end + GAP)
}

/** RFC 9110 §14.4. */
export function contentRange(range: ByteRange | undefined, length: number): string {
  return range ? `bytes ${range.start}-${range.end}/${length}` : `bytes */${length}`
}

/**
 * RFC 9110 §13.1.5: whether the Range field counts under this If-Range. A weak validator never matches; a date must equal
 * Last-Modified exactly, and be a strong validator itself.
 */
export function ifRangeHolds(header: string | undefined, validators: Validators): boolean {
  if (header === undefined) return true
  const value = header.trim()
  if (value.startsWith('"')) return value === validators.etag
  if (value.startsWith('W/')) return false
  return value !== '' && value === validators.lastModified && isStrongDate(validators)
}

/**
 * §8.8.2.2: Last-Modified is strong when the response's Date "is at least one second after the Last-Modified value": else the
 * representation may have changed a second time in that second.
 */
function isStrongDate({ lastModified, receivedAt }: Validators): boolean {
  const modified = lastModified === undefined ? undefined : parseHttpDate(lastModified)
  if (modified === undefined || receivedAt === undefined) return false
  // An HTTP-date has whole seconds.
  return Math.floor(receivedAt / 1000) * 1000 - modified >= 1000
}
