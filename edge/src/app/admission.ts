import type { MillraceError } from '@millrace/common/errors'
import type { HeaderField } from '../cache/entry-meta.js'
import { type ClientAddresses, clientAddresses } from '../http/client-address.js'
import type { Exchange } from '../http/exchange.js'
import type { Clients as ClientsConfig } from '../limits/config.js'
import type { EdgeLimits } from '../limits/limits.js'
import { edgeBusy, rateLimited, retryAfter } from '../limits/refusals.js'

/** Who asks, and whether it may. */
export class Clients {
  readonly #addresses: ClientAddresses
  readonly #limits: EdgeLimits

  constructor(config: ClientsConfig, limits: EdgeLimits) {
    this.#addresses = clientAddresses(config)
    this.#limits = limits
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
    if (!this.#limits.rated) return undefined
    const seconds = this.#limits.allow(this.address(exchange))
    return seconds === 0 ? undefined : { error: rateLimited(), fields: retryAfter(seconds) }
  }
}
