import { decodeCmcd } from '@svta/cml-cmcd'

/** The keys that the edge uses, as they came: numbers, booleans, strings; of a list (CMCD version 2) its first value. */
export interface CmcdValues {
  bl?: unknown
  br?: unknown
  bs?: unknown
  dl?: unknown
  mtp?: unknown
  nor?: unknown
  ot?: unknown
  sf?: unknown
  sid?: unknown
  su?: unknown
}

/** Payloads of real players have 100 to 500 characters, most of them in `nor` and `cid`. */
export const MAX_PAYLOAD = 2048

const KEYS: ReadonlySet<string> = new Set(['bl', 'br', 'bs', 'dl', 'mtp', 'nor', 'ot', 'sf', 'sid', 'su'])

/**
 * Reads a payload of plain members, which is all that CMCD version 1 has: `key`, `key=5`, `key=v`, `key="text"`, `key=?0`, parted by
 * commas (a structured field dictionary, RFC 8941 §3.2). The library needs some 40 µs for what this does in 1, more than the edge takes
 * for a whole request.
 *
 * @returns undefined for anything else, well-formed or not
 */
export function parsePlain(payload: string): CmcdValues | undefined {
  const values: Record<string, unknown> = {}
  for (let at = 0; at < payload.length; ) {
    const keyEnd = endOfKey(payload, at)
    if (keyEnd < 0) return undefined
    let end = keyEnd
    let value: unknown = true
    const key = payload.slice(at, keyEnd)
    if (payload.charCodeAt(keyEnd) === EQUALS) {
      const from = keyEnd + 1
      const kind = kindOf(payload.charCodeAt(from))
      if (kind === undefined) return undefined
      end = ENDS[kind](payload, from)
      if (end < 0) return undefined
      if (KEYS.has(key)) value = VALUES[kind](payload.slice(from, end))
    }
    if (KEYS.has(key)) values[key] = value
    at = nextMember(payload, end)
    if (at < 0) return undefined
  }
  return values
}

type Kind = 'number' | 'token' | 'text' | 'flag'

function kindOf(code: number): Kind | undefined {
  if (isDigit(code) || code === DASH) return 'number'
  if (isAlpha(code) || code === STAR) return 'token'
  if (code === QUOTE) return 'text'
  return code === QUESTION ? 'flag' : undefined
}

/** Where a value that begins at `from` ends; -1 when it is malformed. */
const ENDS: Readonly<Record<Kind, (text: string, from: number) => number>> = {
  // At most 15 digits, or 12 and up to 3 decimals (RFC 8941 §3.3.1 and §3.3.2).
  number: (text, from) => {
    const start = text.charCodeAt(from) === DASH ? from + 1 : from
    let end = start
    while (isDigit(text.charCodeAt(end))) end++
    if (end === start || end - start > 15) return -1
    if (text.charCodeAt(end) !== DOT) return end
    const point = end++
    while (isDigit(text.charCodeAt(end))) end++
    const decimals = end - point - 1
    return point - start <= 12 && decimals >= 1 && decimals <= 3 ? end : -1
  },
  token: (text, from) => {
    let end = from + 1
    while (isTokenCode(text.charCodeAt(end))) end++
    return end
  },
  text: (text, from) => {
    for (let at = from + 1; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (code === QUOTE) return at + 1
      if (code < 0x20 || code > 0x7e) return -1
      if (code !== BACKSLASH) continue
      const escaped = text.charCodeAt(++at)
      if (escaped !== QUOTE && escaped !== BACKSLASH) return -1
    }
    return -1
  },
  flag: (text, from) => {
    const code = text.charCodeAt(from + 1)
    return code === ZERO || code === ZERO + 1 ? from + 2 : -1
  },
}

const VALUES: Readonly<Record<Kind, (raw: string) => unknown>> = {
  number: Number,
  token: (raw) => raw,
  text: (raw) => (raw.includes('\\') ? raw.slice(1, -1).replace(/\\(.)/g, '$1') : raw.slice(1, -1)),
  flag: (raw) => raw === '?1',
}

function endOfKey(text: string, from: number): number {
  const first = text.charCodeAt(from)
  if (!isLower(first) && first !== STAR) return -1
  let end = from + 1
  for (; end < text.length; end++) {
    const code = text.charCodeAt(end)
    if (!isLower(code) && !isDigit(code) && code !== DASH && code !== DOT && code !== STAR && code !== UNDERSCORE) break
  }
  return end
}

/** Behind the comma that follows a member, or the text's end; -1 for anything else, and for a comma with nothing behind it. */
function nextMember(text: string, end: number): number {
  if (end === text.length) return end
  const comma = behindSpace(text, end)
  if (text.charCodeAt(comma) !== COMMA) return -1
  const next = behindSpace(text, comma + 1)
  return next < text.length ? next : -1
}

function behindSpace(text: string, from: number): number {
  let at = from
  while (text.charCodeAt(at) === SPACE || text.charCodeAt(at) === TAB) at++
  return at
}

const TAB = 0x09
const SPACE = 0x20
const QUOTE = 0x22
const STAR = 0x2a
const COMMA = 0x2c
const DASH = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const EQUALS = 0x3d
const QUESTION = 0x3f
const BACKSLASH = 0x5c
const UNDERSCORE = 0x5f
const TOKEN_MARKS: ReadonlySet<number> = new Set(Buffer.from("!#$%&'*+.^_`|~:/-"))

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

function isLower(code: number): boolean {
  return code >= 0x61 && code <= 0x7a
}

function isAlpha(code: number): boolean {
  return isLower(code | 0x20) && code < 0x80
}

function isTokenCode(code: number): boolean {
  return isAlpha(code) || isDigit(code) || TOKEN_MARKS.has(code)
}

/**
 * Reads any payload, lists and parameters of version 2 too.
 *
 * @returns undefined when it is malformed
 */
export function parseByLibrary(payload: string): CmcdValues | undefined {
  let decoded: Record<string, unknown>
  try {
    decoded = { ...decodeCmcd(payload) }
  } catch {
    // The library throws plain errors for whatever it can't read.
    return undefined
  }
  const values: Record<string, unknown> = {}
  for (const key of KEYS) if (Object.hasOwn(decoded, key)) values[key] = oneValue(decoded[key], decoded.ot)
  return values
}

/** Of a list the item for this object type (`bl=(21300;v 500;a)`), else its first; of an item the value without its parameters. */
function oneValue(value: unknown, type: unknown): unknown {
  const item: unknown = Array.isArray(value) ? (value.find((one) => isFor(one, type)) ?? value[0]) : value
  return typeof item === 'object' && item !== null && 'value' in item ? item.value : item
}

function isFor(item: unknown, type: unknown): boolean {
  if (typeof type !== 'string' || typeof item !== 'object' || item === null || !('params' in item)) return false
  const { params } = item
  return typeof params === 'object' && params !== null && Object.hasOwn(params, type)
}
