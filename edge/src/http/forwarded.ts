import { canonicalAddress } from './ip-address.js'

/** More hops than any chain of proxies has; what stands further left is not looked at. */
const MAX_HOPS = 16

/** How one of the two fields is read, from its end, where trusted hops have written, towards what a client may have made up. */
export interface HopSyntax {
  /** Where the element that ends before `end` begins. */
  startOf(value: string, end: number): number
  /** The address an element names; undefined when it hides it or is malformed. */
  addressOf(element: string): string | undefined
}

/**
 * The last address in the chain that is not of a trusted hop. Each element was written by the hop to its right, so one that is malformed,
 * hidden (`_secret`) or `unknown` ends the walk: the client is then known only by the trusted hop that wrote it.
 *
 * @param socket the canonical address of the connection, already known as trusted
 */
export function lastUntrusted(value: string, socket: string, syntax: HopSyntax, trusted: (address: string) => boolean): string {
  let known = socket
  let end = value.length
  for (let hop = 0; hop < MAX_HOPS && end >= 0; hop++) {
    const start = syntax.startOf(value, end)
    const element = trimSpace(value.slice(start, end))
    end = start - 1
    // RFC 9110 §5.6.1.2: a recipient MUST parse and ignore a reasonable number of empty list elements.
    if (element === '') continue
    const address = syntax.addressOf(element)
    if (address === undefined) return known
    if (!trusted(address)) return address
    known = address
  }
  return known
}

/** `X-Forwarded-For`: addresses, IPv6 with or without brackets, a port where a proxy adds it. */
export const xForwardedFor: HopSyntax = {
  startOf: (value, end) => (end === 0 ? 0 : value.lastIndexOf(',', end - 1) + 1),
  addressOf: (element) => nodeAddress(element) ?? canonicalAddress(element),
}

/** RFC 7239 `Forwarded`. */
export const forwarded: HopSyntax = {
  startOf: (value, end) => {
    let quoted = false
    for (let at = end - 1; at >= 0; at--) {
      const code = value.charCodeAt(at)
      if (code === QUOTE) quoted = !quoted
      else if (code === COMMA && !quoted) return at + 1
    }
    return 0
  },
  addressOf: (element) => {
    const node = forParameter(element)
    return node === undefined ? undefined : nodeAddress(node)
  },
}

const QUOTE = 0x22
const COMMA = 0x2c

/** RFC 7239 §4: `token "=" ( token / quoted-string )`, and the `;` or the end that follows. */
const PAIR =
  /([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)|"((?:[\t\x20-\x21\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*)")(;|$)/y

function forParameter(element: string): string | undefined {
  const pair = new RegExp(PAIR)
  let node: string | undefined
  while (pair.lastIndex < element.length) {
    if (element[pair.lastIndex] === ';') {
      pair.lastIndex++
      continue
    }
    const match = pair.exec(element)
    if (!match) return undefined
    if (match[1]!.toLowerCase() !== 'for') continue
    // "Each parameter MUST NOT occur more than once per field-value element."
    if (node !== undefined) return undefined
    node = match[2] ?? match[3]!.replace(/\\(.)/g, '$1')
  }
  return node
}

/** RFC 7239 §6: `nodename [ ":" node-port ]`; IPv6 stands in brackets. Undefined for `unknown` and obfuscated identifiers. */
const NODE = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?$/

function nodeAddress(node: string): string | undefined {
  const match = NODE.exec(node)
  if (!match) return undefined
  if (match[1] === undefined) return canonicalAddress(match[2]!)
  return match[1].includes(':') ? canonicalAddress(match[1]) : undefined
}

/** OWS is SP and HTAB only (RFC 9110 §5.6.3). */
function trimSpace(text: string): string {
  return text.replace(/^[ \t]+/, '').replace(/[ \t]+$/, '')
}
