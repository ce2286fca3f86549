import type { HeaderField } from '../cache/entry-meta.js'

/**
 * RFC 9110 §7.6.1: "Intermediaries MUST parse a received Connection header field before a message is forwarded" and remove what it lists,
 * and should remove these, which are known to be for one connection only. `trailer` announces what this edge doesn't forward (§6.5.1).
 * The Proxy-Auth fields are for the next proxy, which this edge is (§11.7).
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

/** The fields that may be forwarded, as they are, in order. Names in lower case. */
export function endToEnd(fields: readonly HeaderField[]): HeaderField[] {
  const listed = new Set<string>()
  for (const [name, value] of fields) {
    if (name === 'connection') for (const option of value.split(',')) listed.add(option.trim().toLowerCase())
  }
  return fields.filter(([name]) => !HOP_BY_HOP.has(name) && !listed.has(name))
}

/** Names in lower case; several lines of one name joined by a comma (RFC 9110 §5.3). */
export function flatten(fields: readonly HeaderField[]): Record<string, string | undefined> {
  // Without a prototype, so that a field named `constructor` or `__proto__` is a field like any other.
  const flat: Record<string, string | undefined> = Object.create(null)
  for (const [name, value] of fields) flat[name] = flat[name] === undefined ? value : `${flat[name]}, ${value}`
  return flat
}
