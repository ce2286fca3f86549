import { BlockList } from 'node:net'
import { forwarded, lastUntrusted, xForwardedFor } from './forwarded.js'
import { canonicalAddress, remembered } from './ip-address.js'

/** Where a trusted peer says for whom it asks. */
export const FORWARDED_BY = ['none', 'forwarded', 'x-forwarded-for', 'proxy-v2'] as const
export type ForwardedBy = (typeof FORWARDED_BY)[number]

/** Who asks. Only what trusted peers wrote is believed: anybody can send these fields, and this server takes a PROXY v2 head from anybody. */
export interface ClientAddresses {
  /** The header field to be handed to `of`, in lower case. */
  readonly field: 'forwarded' | 'x-forwarded-for' | undefined
  /**
   * The client's canonical address.
   *
   * @param socket the connection's, as uWebSockets.js writes it: dotted IPv4, or all eight groups of IPv6
   * @param proxied what a PROXY v2 head said, as uWebSockets.js writes it; empty without one
   * @param value of `field`; several lines joined by a comma
   */
  of(socket: string, proxied?: string, value?: string): string
}

export function clientAddresses(config: { trustedPeers: readonly string[]; forwarded: ForwardedBy }): ClientAddresses {
  const trusted = trustIn(config.trustedPeers)
  const canonical = remembered((text) => canonicalAddress(text) ?? text)
  // What the server writes is an address; anything else (a unix socket has none) stays as it is.
  const socketAddress = (text: string) => (text.includes(':') ? canonical(text) : text)
  switch (config.forwarded) {
    case 'none':
      return { field: undefined, of: socketAddress }
    case 'proxy-v2':
      return {
        field: undefined,
        of: (socket, proxied) => {
          const peer = socketAddress(socket)
          return proxied && trusted(peer) ? (canonicalAddress(proxied) ?? peer) : peer
        },
      }
    case 'forwarded':
    case 'x-forwarded-for': {
      const syntax = config.forwarded === 'forwarded' ? forwarded : xForwardedFor
      return {
        field: config.forwarded,
        of: (socket, _proxied, value) => {
          const peer = socketAddress(socket)
          return value !== undefined && trusted(peer) ? lastUntrusted(value, peer, syntax, trusted) : peer
        },
      }
    }
  }
}

/** `10.0.0.0/8`, `2001:db8::/32`, or one address. */
export function parseCidr(text: string): { address: string; prefix: number; family: 'ipv4' | 'ipv6' } | undefined {
  const match = /^([0-9A-Fa-f:.]+)(?:\/([0-9]{1,3}))?$/.exec(text)
  const address = match && canonicalAddress(match[1]!)
  if (!address) return undefined
  const family = address.includes(':') ? 'ipv6' : 'ipv4'
  // A prefix of an IPv4-mapped range would count other bits than those of the IPv4 address it becomes.
  if (match[2] !== undefined && family === 'ipv4' && match[1]!.includes(':')) return undefined
  const bits = family === 'ipv6' ? 128 : 32
  const prefix = match[2] === undefined ? bits : Number(match[2])
  return prefix <= bits ? { address, prefix, family } : undefined
}

/** Peers are few and their connections long, so that a verdict is asked for again and again. */
const REMEMBERED = 1024

function trustIn(peers: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  for (const peer of peers) {
    const cidr = parseCidr(peer)
    if (!cidr) throw new TypeError(`${peer} is no address range`)
    list.addSubnet(cidr.address, cidr.prefix, cidr.family)
  }
  const verdicts = new Map<string, boolean>()
  return (address) => {
    let verdict = verdicts.get(address)
    if (verdict === undefined) {
      verdict = list.check(address, address.includes(':') ? 'ipv6' : 'ipv4')
      if (verdicts.size >= REMEMBERED) verdicts.clear()
      verdicts.set(address, verdict)
    }
    return verdict
  }
}
