import { MAX_PAYLOAD } from './parse.js'

/** The four fields of header mode, in lower case. */
export const CMCD_FIELDS = ['cmcd-request', 'cmcd-object', 'cmcd-session', 'cmcd-status'] as const

/** A request's payload: none, more than the edge reads or can decode, or the text of the dictionary. */
export type Payload = undefined | 'invalid' | { text: string }

/** In query mode: `CMCD=` and the percent-encoded dictionary, once, anywhere in the query. */
export function queryPayload(query: string): Payload {
  const at = find(query, 0)
  if (at < 0) return undefined
  const from = at + PARAMETER.length
  const ampersand = query.indexOf('&', from)
  const end = ampersand < 0 ? query.length : ampersand
  // Percent-encoding makes three characters of one.
  if (end - from > 3 * MAX_PAYLOAD || find(query, from) >= 0) return 'invalid'
  return decoded(query.slice(from, end))
}

/** In header mode: the values of `CMCD_FIELDS`, several lines of one name joined by a comma. Their keys are one dictionary. */
export function headerPayload(values: readonly (string | undefined)[]): Payload {
  let text = ''
  for (const value of values) if (value) text += text === '' ? value : `,${value}`
  if (text === '') return undefined
  return text.length > MAX_PAYLOAD ? 'invalid' : { text }
}

const PARAMETER = 'CMCD='

/** Where a parameter of this name begins. */
function find(query: string, from: number): number {
  for (let at = query.indexOf(PARAMETER, from); at >= 0; at = query.indexOf(PARAMETER, at + 1)) {
    if (at === 0 || query[at - 1] === '&') return at
  }
  return -1
}

function decoded(encoded: string): Payload {
  if (encoded === '') return undefined
  try {
    const text = decodeURIComponent(encoded.includes('+') ? encoded.replaceAll('+', ' ') : encoded)
    return text.length > MAX_PAYLOAD ? 'invalid' : { text }
  } catch {
    // A percent sign that encodes nothing.
    return 'invalid'
  }
}
