import type { Judged } from './verdict.js'

const KEY = '[a-z*][a-z0-9_\\-.*]*'
/** RFC 9651 §3.3: decimal, integer, string, token, byte sequence, boolean. */
const ITEM =
  '-?\\d{1,12}\\.\\d{1,3}|-?\\d{1,15}|"(?:[ !#-\\[\\]-~]|\\\\["\\\\])*"|[A-Za-z*][!#$%&\'*+\\-.^_`|~\\w:/]*|:[A-Za-z0-9+/=]*:|\\?[01]'
const PARAMETERS = `(?:; *${KEY}(?:=(?:${ITEM}))?)*`
const INNER_LIST = `\\( *(?:(?:${ITEM})${PARAMETERS}(?: +|(?=\\))))*\\)`
const MEMBER = new RegExp(`(${KEY})(?:=(${ITEM}|${INNER_LIST}))?${PARAMETERS}`, 'y')

/** Longer ones are no cache directives. */
const MAX_TEXT = 2048

/**
 * RFC 9213, with `CDN-Cache-Control` as the only field on this cache's target list: where it is a valid Dictionary that is not empty, it
 * stands in the place of Cache-Control, "and it MUST ignore the Cache-Control and Expires header fields in that response" (§2.2).
 *
 * @returns the fields by which this cache goes: with the directives that count as `cache-control`, and without `expires` where those were
 *   meant for CDNs
 */
export function governing(headers: Judged['headers']): Judged['headers'] {
  const directives = dictionary(headers['cdn-cache-control'])
  return directives === undefined ? headers : { ...headers, 'cache-control': directives, expires: undefined }
}

/** A Dictionary as the value of a Cache-Control. @returns undefined where it is empty or can't be parsed (RFC 9651 §4.2.2) */
function dictionary(text: string | undefined): string | undefined {
  if (text === undefined || text.length > MAX_TEXT) return undefined
  const members = new Map<string, string>()
  let at = /^ */.exec(text)![0].length
  for (;;) {
    MEMBER.lastIndex = at
    const member = MEMBER.exec(text)
    if (!member) return undefined
    const [whole, key, item] = member
    at += whole.length
    // Of several the last counts.
    members.delete(key!)
    if (item !== '?0') members.set(key!, directive(key!, item))
    const comma = /^[ \t]*,[ \t]*/.exec(text.slice(at))
    if (!comma) break
    at += comma[0].length
  }
  return /^ *$/.test(text.slice(at)) ? [...members.values()].join(', ') : undefined
}

/**
 * §2.1: values have the types that the directives' own definitions suggest, and "Implementations SHOULD NOT consume values that violate
 * these inferred constraints": a quoted lifetime is none.
 */
function directive(key: string, item: string | undefined): string {
  return item !== undefined && /^-?\d/.test(item) ? `${key}=${item}` : key
}
