import type { ListenAddress } from '@millrace/common/config/units'
import type { Logger } from '@millrace/common/log'
import type { Registry } from 'prom-client'
import type { Config } from '../config.js'
import type { TlsPair } from '../http/tls.js'
import type { HttpServer, Listener } from '../http/uws.js'
import { type TlsMetrics, tlsMetrics } from '../metrics/edge-metrics.js'

/** The public addresses of one worker. */
export class Listeners {
  readonly #http: HttpServer
  readonly #log: Logger
  readonly #registry: Registry
  #metrics: TlsMetrics | undefined
  #tls: Listener | undefined

  constructor(http: HttpServer, dependencies: { registry: Registry; log: Logger }) {
    this.#http = http
    this.#registry = dependencies.registry
    this.#log = dependencies.log
  }

  /**
   * @param pair for `tls`
   * @param taken where another worker listens: in the place of the first address
   * @returns the first address
   * @throws MillraceError `listen-failed`, `tls-bad-pair`
   */
  async open(config: Config, pair: TlsPair | undefined, taken: ListenAddress | undefined): Promise<ListenAddress> {
    const addresses: ListenAddress[] = []
    const at = (address: ListenAddress) => (addresses.length === 0 && taken ? taken : address)
    for (const address of config.listen ?? []) addresses.push((await this.#http.listen(at(address))).address)
    const { tls } = config
    if (tls && pair) {
      this.#tls = await this.#http.listen(at(tls.listen), pair.pem)
      addresses.push(this.#tls.address)
      if (tls.redirectFrom) await this.#http.listen(tls.redirectFrom, undefined, { port: this.#tls.address.port })
      this.#inForce(pair)
    }
    return addresses[0]!
  }

  /**
   * Prepares for a certificate; what it returns puts it into force. Addresses change only with a restart.
   *
   * @throws MillraceError `tls-bad-pair`; what it returns `listen-failed`, after which the old one is in force as before
   */
  prepare(pair: TlsPair | undefined): () => Promise<void> {
    if (!pair || !this.#tls) return async () => undefined
    const renew = this.#tls.renewal(pair.pem)
    return async () => {
      await renew()
      this.#inForce(pair)
    }
  }

  #inForce(pair: TlsPair): void {
    for (const warning of pair.warnings) this.#log.warn(warning)
    this.#metrics ??= tlsMetrics(this.#registry)
    this.#metrics.certificateExpiry.set(pair.expiresAt / 1000)
    this.#log.info(
      { fingerprint: pair.fingerprint, names: pair.names, expires: new Date(pair.expiresAt).toISOString() },
      'certificate in force',
    )
  }
}
