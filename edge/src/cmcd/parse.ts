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
 * One member of a structured field dictionary (RFC 8941 §3.2) whose value is a plain number, token, string or boolean, and the comma or
 * the end behind it.
 */
const MEMBER =
  /([a-z*][a-z0-9_.*-]*)(?:=(?:(-?(?:\d{1,15}|\d{1,12}\.\d{1,3}))|([A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*)|"((?:[ !#-[\]-~]|\\["\\])*)"|\?([01])))?(?:[ \t]*,[ \t]*(?=[a-z*])|$)/y

/**
 * Reads a payload of plain members, which is all that CMCD version 1 has. The library needs some 60 µs for what this does in 2, more than
 * the edge takes for a whole request.
 *
 * @returns undefined for anything else, well-formed or not
 */
export function parsePlain(payload: string): CmcdValues | undefined {
  const member = new RegExp(MEMBER)
  const values: Record<string, unknown> = {}
  while (member.lastIndex < payload.length) {
    const match = member.exec(payload)
    if (!match) return undefined
    const [, key, number, token, text, flag] = match as unknown as [string, string, ...(string | undefined)[]]
    if (!KEYS.has(key)) continue
    if (number !== undefined) values[key] = Number(number)
    else if (token !== undefined) values[key] = token
    else if (text !== undefined) values[key] = text.includes('\\') ? text.replace(/\\(.)/g, '$1') : text
    else values[key] = flag !== '0'
  }
  return values
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
