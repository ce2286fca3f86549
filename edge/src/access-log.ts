import { redactRoute } from '@millrace/common/contracts/route'
import type { Logger } from '@millrace/common/log'
import type { Exchange } from './http/exchange.js'
import type { Decision } from './phase.js'

/** A sampled line per request, at debug. Shows the route, never its mac. */
export class AccessLog {
  readonly #log: Logger
  readonly #sample: number
  readonly #random: () => number

  constructor(log: Logger, sample: number, random: () => number) {
    this.#log = log
    this.#sample = sample
    this.#random = random
  }

  write(exchange: Exchange, decision: Decision): void {
    if (!this.#log.isLevelEnabled('debug') || this.#random() >= this.#sample) return
    this.#log.debug(
      {
        method: exchange.method,
        path: redactPath(exchange.path),
        status: exchange.status,
        phase: decision.phase,
        class: decision.class,
        origin: decision.origin,
        bytes: exchange.bytesSent,
        aborted: exchange.aborted,
        headMs: exchange.headAfterMs,
        client: exchange.remoteAddress,
      },
      'request',
    )
  }
}

/** A URL's path as logs may show it: no signature, wherever and however it stands, and a bounded length. */
export function redactPath(path: string): string {
  return path.replace(/%7e/gi, '~').split('/').map(redactRoute).join('/').slice(0, 512)
}
