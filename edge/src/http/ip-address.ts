import { isIPv4 } from 'node:net'

/**
 * An address in the one spelling that is compared and logged: IPv4 dotted, IPv6 by RFC 5952, IPv4-mapped IPv6 (`::ffff:0:0/96`, which a
 * dual-stack listener reports) as IPv4.
 *
 * @returns undefined for what is no address; zone ids and leading zeros in IPv4 are none either.
 */
export function canonicalAddress(text: string): string | undefined {
  if (!text.includes(':')) return isIPv4(text) ? text : undefined
  const groups = parseIPv6(text)
  if (!groups) return undefined
  return isMapped(groups) ? dotted(groups[6]!, groups[7]!) : formatIPv6(groups)
}

/**
 * Who shares one allowance: an IPv4 address alone, an IPv6 address with its /64, because one customer gets at least that much (RFC 6177 §2)
 * and could take another address for every request.
 *
 * @param address canonical
 */
export function rateKey(address: string): string {
  if (!address.includes(':')) return address
  const groups = parseIPv6(address)
  return groups ? `${formatIPv6(groups.fill(0, 4))}/64` : address
}

/** `rateKey` for one request after another: an IPv6 address costs it half a microsecond, and few come only once. */
export function rateKeys(): (address: string) => string {
  const key = remembered(rateKey)
  return (address) => (address.includes(':') ? key(address) : address)
}

/** More addresses than a worker has busy connections. */
const REMEMBERED = 4096

/** Answers again what was asked before, out of a bounded table. */
export function remembered(work: (text: string) => string): (text: string) => string {
  const results = new Map<string, string>()
  return (text) => {
    let result = results.get(text)
    if (result === undefined) {
      result = work(text)
      if (results.size >= REMEMBERED) results.clear()
      results.set(text, result)
    }
    return result
  }
}

/** Eight groups of 16 bits; RFC 4291 §2.2, all three forms. */
function parseIPv6(text: string): number[] | undefined {
  const groups: number[] = []
  /** Where the `::` stands, in groups before it. */
  let gap = -1
  let at = 0
  if (text.startsWith('::')) {
    gap = 0
    at = 2
  }
  while (at < text.length) {
    let end = at
    let value = 0
    for (; end < text.length; end++) {
      const digit = hexDigit(text.charCodeAt(end))
      if (digit < 0) break
      value = value * 16 + digit
    }
    if (text[end] === '.') {
      const tail = text.slice(at)
      if (!isIPv4(tail)) return undefined
      const [a, b, c, d] = tail.split('.').map(Number) as [number, number, number, number]
      groups.push(a * 256 + b, c * 256 + d)
      return withGap(groups, gap)
    }
    if (end === at || end - at > 4 || groups.length === 8) return undefined
    groups.push(value)
    if (end === text.length) return withGap(groups, gap)
    if (text[end] !== ':') return undefined
    at = end + 1
    if (text[at] === ':') {
      if (gap >= 0) return undefined
      gap = groups.length
      at++
    } else if (at === text.length) {
      return undefined
    }
  }
  return withGap(groups, gap)
}

function withGap(groups: number[], gap: number): number[] | undefined {
  if (gap < 0) return groups.length === 8 ? groups : undefined
  const missing = 8 - groups.length
  // RFC 4291 §2.2: "::" stands for one or more groups of zeros.
  if (missing < 1) return undefined
  return [...groups.slice(0, gap), ...new Array<number>(missing).fill(0), ...groups.slice(gap)]
}

/** RFC 5952 §4: no leading zeros, lower case, `::` for the longest run of at least two zero groups, the first of equal ones. */
function formatIPv6(groups: readonly number[]): string {
  let from = -1
  let length = 1
  for (let start = 0; start < 8; ) {
    let end = start
    while (end < 8 && groups[end] === 0) end++
    if (end - start > length) {
      from = start
      length = end - start
    }
    start = end + 1
  }
  let text = ''
  for (let index = 0; index < 8; index++) {
    if (index === from) {
      text += '::'
      index += length - 1
    } else {
      text += text === '' || text.endsWith(':') ? groups[index]!.toString(16) : `:${groups[index]!.toString(16)}`
    }
  }
  return text
}

function isMapped(groups: readonly number[]): boolean {
  for (let index = 0; index < 5; index++) if (groups[index] !== 0) return false
  return groups[5] === 0xffff
}

function dotted(high: number, low: number): string {
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const lower = code | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}
