import { FIELD_NAME, type HeaderField } from './entry-meta.js'
import { type CacheKey, cacheKey } from './key.js'

const MAX_NAMES = 16
/** Of the text that selects a variant; more is not worth a place in the cache. */
const MAX_TEXT = 2048

/**
 * The field names of a Vary value, in lower case, each once and sorted, so that the order in which an origin writes them doesn't matter.
 *
 * @returns undefined for what selects nothing that could be stored: `*`, no field name, more than 16.
 */
export function varyNames(value: string | undefined): string[] | undefined {
  const names = new Set<string>()
  for (const member of (value ?? '').split(',')) {
    const name = member.trim().toLowerCase()
    if (name === '') continue
    if (name === '*' || !FIELD_NAME.test(name)) return undefined
    names.add(name)
  }
  return names.size > MAX_NAMES ? undefined : [...names].sort()
}

/**
 * What of a request selects a variant, as 32 hex digits: two requests have the same when the nominated fields match. RFC 9111 §4.1 lets them
 * differ in white space, in how field lines are combined, and in what is "known to have identical semantics".
 *
 * @param fields names in lower case
 * @returns undefined when they say more than 2 KiB.
 */
export function variantText(varies: readonly string[], fields: readonly HeaderField[]): string | undefined {
  const parts: string[] = []
  for (const name of varies) {
    const lines = fields.filter(([field]) => field === name).map(([, value]) => value)
    // An absent field matches only an absent one.
    parts.push(lines.length === 0 ? `${name}!` : `${name}=${escaped(normalised(name, lines.join(',')))}`)
  }
  const text = parts.join('&')
  return text.length > MAX_TEXT ? undefined : cacheKey(text).hash
}

/**
 * The key of a variant. Neither an origin id, nor a URL, nor what selects a variant contains a space.
 *
 * @param marker id of the entry under the resource's own key that leads to it
 */
export function variantKey(base: CacheKey, marker: string, text: string): CacheKey {
  return cacheKey(`${base.text} ${marker}-${text}`)
}

function normalised(name: string, value: string): string {
  const members = value.split(',').map((member) => member.trim())
  switch (name) {
    // RFC 9110 §12.5.3: codings are case-insensitive, their order says nothing, a weight of 1 is the default.
    case 'accept-encoding':
      return members.map(weighted).filter(Boolean).sort().join(',')
    // §12.5.4: ranges are case-insensitive. Their order stays: some recipients read a priority from it.
    case 'accept-language':
      return members.map(weighted).filter(Boolean).join(',')
    default:
      // A comma within a quoted string is not a list's.
      return value.includes('"') ? value.trim() : members.join(',')
  }
}

function weighted(member: string): string {
  return member
    .toLowerCase()
    .replace(/[ \t]*([;=])[ \t]*/g, '$1')
    .replace(/;q=1(?:\.0{0,3})?$/, '')
    .replace(/;q=0\.(\d*?)0*$/, (_, digits: string) => (digits === '' ? ';q=0' : `;q=0.${digits}`))
}

function escaped(value: string): string {
  return value.replace(/[%&]/g, (character) => (character === '%' ? '%25' : '%26'))
}
