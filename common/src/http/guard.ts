import { lookup as dnsLookup, type LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'
import { Agent, type Dispatcher, request } from 'undici'
import { MillraceError } from '../errors.js'

export interface GuardOptions {
  /** CIDRs outside the public internet that may be reached all the same, e.g. `10.1.0.0/16`. */
  allowPrivate: string[]
  connectTimeoutMs: number
  headersTimeoutMs: number
  /** The longest silence within a body. */
  bodyTimeoutMs: number
  maxRedirects: number
}

/** Whether an address may be asked: public unicast, or inside an allowed CIDR. IPv4 inside IPv6 is judged as IPv4. */
export function addressAllowed(address: string, allowPrivate: string[]): boolean {
  if (!ipaddr.isValid(address)) return false
  const parsed = ipaddr.process(address)
  if (parsed.range() === 'unicast') return true
  return allowPrivate.some((cidr) => {
    const [network, bits] = ipaddr.parseCIDR(cidr)
    return network.kind() === parsed.kind() && parsed.match(network, bits)
  })
}

/**
 * GETs of URLs that viewers and operators give. The address is judged at connect time, so DNS can't change its mind between
 * check and use, and again at each redirect; only http and https; no credentials in the URL.
 */
export class GuardedClient {
  readonly #agent: Agent
  readonly #options: GuardOptions

  constructor(options: GuardOptions) {
    this.#options = options
    this.#agent = new Agent({
      connect: { timeout: options.connectTimeoutMs, lookup: guardedLookup(options.allowPrivate) },
      headersTimeout: options.headersTimeoutMs,
      bodyTimeout: options.bodyTimeoutMs,
      connections: 8,
    })
  }

  /**
   * @returns the first answer that isn't a redirect, whatever its status; the caller reads or dumps its body.
   * @throws MillraceError `url-not-allowed` (not retryable), `url-unreachable` (retryable), `too-many-redirects`.
   */
  async get(
    url: string,
    headers: Record<string, string> = {},
    signal?: AbortSignal,
  ): Promise<{ url: string; response: Dispatcher.ResponseData }> {
    let current = checkUrl(url, this.#options.allowPrivate)
    for (let hop = 0; hop <= this.#options.maxRedirects; hop++) {
      const response = await this.#request(current, headers, signal)
      const location = response.headers.location
      if (![301, 302, 303, 307, 308].includes(response.statusCode) || typeof location !== 'string') return { url: current.href, response }
      await response.body.dump()
      let next: URL
      try {
        next = new URL(location, current)
      } catch (error) {
        throw notAllowed(`${current.host} redirects to something that is not a URL`, error)
      }
      current = checkUrl(next.href, this.#options.allowPrivate)
    }
    throw new MillraceError(`more than ${this.#options.maxRedirects} redirects from ${new URL(url).host}`, {
      code: 'too-many-redirects',
      source: 'client',
      retryable: false,
    })
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  async #request(url: URL, headers: Record<string, string>, signal?: AbortSignal): Promise<Dispatcher.ResponseData> {
    try {
      return await request(url, { dispatcher: this.#agent, headers, ...(signal && { signal }) })
    } catch (error) {
      if (error instanceof MillraceError) throw error
      if (signal?.aborted) throw error
      throw new MillraceError(`cannot reach ${url.host}: ${(error as Error).message}`, {
        code: 'url-unreachable',
        source: 'transfer',
        retryable: true,
        cause: error,
      })
    }
  }
}

function checkUrl(text: string, allowPrivate: string[]): URL {
  let url: URL
  try {
    url = new URL(text)
  } catch (error) {
    throw notAllowed('not a URL', error)
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw notAllowed(`only http and https, not ${url.protocol}`)
  if (url.username || url.password) throw notAllowed('a URL must not carry a user or password')
  // The resolver isn't asked about literal addresses, so they are judged here.
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (ipaddr.isValid(host) && !addressAllowed(host, allowPrivate)) throw notAllowed(`${host} is not a public address`)
  return url
}

function guardedLookup(allowPrivate: string[]): LookupFunction {
  return (hostname, options, callback) => {
    dnsLookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error) return callback(error, '')
      const allowed = addresses.filter((entry) => addressAllowed(entry.address, allowPrivate))
      const first = allowed[0]
      if (!first) return callback(notAllowed(`${hostname} has no public address`), '')
      return options.all ? callback(null, allowed) : callback(null, first.address, first.family)
    })
  }
}

function notAllowed(message: string, cause?: unknown): MillraceError {
  return new MillraceError(message, { code: 'url-not-allowed', source: 'client', retryable: false, cause })
}
