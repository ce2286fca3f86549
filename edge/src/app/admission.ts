import type { MillraceError } from '@millrace/common/errors'
import type { HeaderField } from '../cache/entry-meta.js'
import type { Config } from '../config.js'
import { type ClientAddresses, clientAddresses } from '../http/client-address.js'
import type { Exchange } from '../http/exchange.js'
import { rateKey } from '../http/ip-address.js'
import type { Limits } from '../limits/config.js'
import { RateLimit } from '../limits/rate-limit.js'
import { edgeBusy, rateLimited, retryAfter } from '../limits/refusals.js'

/** Who asks, and whether it may. */
export class Clients {
  readonly #addresses: ClientAddresses
  #limits: Limits
  #rate: RateLimit | undefined

  constructor(config: Pick<Config, 'clients' | 'limits'>) {
    this.#addresses = clientAddresses(config.clients)
    this.#limits = config.limits
    this.#rate = rateOf(config.limits)
  }

  configure(limits: Limits): void {
    this.#limits = limits
    const { requestsPerSecond, requestBurst } = limits
    if (this.#rate && requestsPerSecond !== undefined) this.#rate.configure({ requestsPerSecond, requestBurst })
    else this.#rate = rateOf(limits)
  }

  /** The client's canonical address; empty when its connection is gone. */
  address(exchange: Exchange): string {
    const { forwarded, forwardedFor } = exchange.headers
    const value = this.#addresses.field === 'forwarded' ? forwarded : forwardedFor
    return this.#addresses.of(exchange.remoteAddress(), exchange.proxiedAddress(), value)
  }

  /** @param running requests at once, this one included */
  admit(exchange: Exchange, running: number): { error: MillraceError; fields: HeaderField[] } | undefined {
    if (running > this.#limits.maxRequests) return { error: edgeBusy(), fields: retryAfter(1) }
    if (!this.#rate) return undefined
    const seconds = this.#rate.allow(rateKey(this.address(exchange)), exchange.arrivedAt)
    return seconds === 0 ? undefined : { error: rateLimited(), fields: retryAfter(seconds) }
  }
}

function rateOf({ requestsPerSecond, requestBurst }: Limits): RateLimit | undefined {
  return requestsPerSecond === undefined ? undefined : new RateLimit({ requestsPerSecond, requestBurst })
}
