import { endToEnd } from '../http/fields.js'
import { FIELD_NAME, FIELD_VALUE, type HeaderField } from './entry-meta.js'
import type { Resource } from './verdict.js'

/** As JSON: a stored head has a block of fixed size, which the key and the rest of the meta also need a part of. */
const MAX_HEAD = 3072

/** What the edge or the server under it writes by itself in each answer. */
const OWN: ReadonlySet<string> = new Set(['age', 'cache-status', 'content-length', 'date', 'via', 'x-cache', 'x-origin'])

/** What is kept of a media response: the rest is either the edge's own to say (CORS) or meant for one client (cookies). */
const MEDIA: ReadonlySet<string> = new Set([
  'cache-control',
  'content-disposition',
  'content-language',
  'content-type',
  'etag',
  'expires',
  'last-modified',
  'x-content-type-options',
])

/**
 * The fields to keep with a stored response, in order and multiplicity. RFC 9111 §3.1: "Caches MUST include all
 * received response header fields", except Connection and what it lists, hop-by-hop fields, and those specific to a proxy; here also
 * without those that the edge writes itself.
 *
 * @param fields names in lower case
 * @returns undefined when they don't fit into an entry's head
 */
export function storableHeaders(fields: readonly HeaderField[], mode: Resource['mode'] = 'generic'): HeaderField[] | undefined {
  const kept = endToEnd(fields).filter(([name]) => !OWN.has(name) && (mode === 'generic' || MEDIA.has(name)))
  const fits = kept.every(([name, value]) => FIELD_NAME.test(name) && FIELD_VALUE.test(value))
  return fits && JSON.stringify(kept).length <= MAX_HEAD ? kept : undefined
}
