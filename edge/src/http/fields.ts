import { type HeaderField, headerOf } from '../cache/entry-meta.js'

/**
 * RFC 9110 §7.6.1: fields of one connection, which an intermediary removes "whether or not they appear as a connection-option". With them
 * what is about a proxy that a client talks to knowingly (§11.7), and Trailer, because trailers end here.
 */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/**
 * The fields that go on to the next hop, in order and multiplicity. §7.6.1: "Intermediaries MUST parse a received Connection header field
 * before a message is forwarded and, for each connection-option in this field, remove any header or trailer field(s) from the message
 * with the same name as the connection-option".
 *
 * @param fields names in lower case
 */
export function endToEnd(fields: readonly HeaderField[]): HeaderField[] {
  const options = new Set<string>()
  for (const [name, value] of fields) {
    if (name === 'connection') for (const option of value.split(',')) options.add(option.trim().toLowerCase())
  }
  return fields.filter(([name]) => !HOP_BY_HOP.has(name) && !options.has(name))
}

/** As a record; several lines of one name joined by a comma (RFC 9110 §5.3). */
export function flatten(fields: readonly HeaderField[]): Record<string, string | undefined> {
  // Without a prototype, so that a field named `constructor` or `__proto__` is a field like any other.
  const flat: Record<string, string | undefined> = Object.create(null)
  for (const [name, value] of fields) flat[name] = flat[name] === undefined ? value : `${flat[name]}, ${value}`
  return flat
}

/** The value of a field; several lines of one name joined by a comma. */
export function fieldValue(fields: readonly HeaderField[], name: string): string | undefined {
  return headerOf({ headers: fields }, name)
}

/** §7.6.3: a proxy adds itself at the end; a gateway's name is a pseudonym. @param existing all Via lines, joined by a comma */
export function appendVia(existing: string | undefined, edgeId: string): string {
  const own = `1.1 ${edgeId}`
  return existing === undefined || existing.trim() === '' ? own : `${existing}, ${own}`
}

/** Whether this edge is among the recipients that a Via names: the request goes round in a circle. */
export function viaNames(via: string | undefined, edgeId: string): boolean {
  return (via ?? '').split(',').some(
    (member) =>
      member
        .trim()
        .split(/[ \t]+/)[1]
        ?.toLowerCase() === edgeId,
  )
}
