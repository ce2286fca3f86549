import type { ListenAddress } from '@millrace/common/config/units'
import type { Logger } from '@millrace/common/log'
import type { Registry } from 'prom-client'
import type { Config } from '../config.js'
import { loadTlsPair, type TlsPair } from '../http/tls.js'
import type { HttpServer, Listener } from '../http/uws.js'
import { type TlsMetrics, tlsMetrics } from '../metrics/edge-metrics.js'

/** The public addresses of one worker. */
export class Listeners {
  readonly #http: HttpServer
  readonly #log: Logger
  readonly #now: () => number
  readonly #registry: Registry
  #metrics: TlsMetrics | undefined
  #tls: Listener | undefined

  constructor(http: HttpServer, dependencies: { registry: Registry; log: Logger; now: () => number }) {
    this.#http = http
    this.#registry = dependencies.registry
    this.#log = dependencies.log
    this.#now = dependencies.now
  }

  /**
   * @param taken where another worker listens: in the place of the first address
   * @returns the first address
   * @throws MillraceError `listen-failed`, `tls-bad-pair`
   */
  async open(config: Config, taken: ListenAddress | undefined): Promise<ListenAddress> {
    const addresses: ListenAddress[] = []
    const at = (address: ListenAddress) => (addresses.length === 0 && taken ? taken : address)
    for (const address of config.listen ?? []) addresses.push((await this.#http.listen(at(address))).address)
    const { tls } = config
    if (tls) {
      const pair = await this.#load(tls)
      this.#tls = await this.#http.listen(at(tls.listen), pair)
      addresses.push(this.#tls.address)
      if (tls.redirectFrom) await this.#http.listen(tls.redirectFrom, undefined, { port: this.#tls.address.port })
      this.#told(pair)
    }
    return addresses[0]!
  }

  /** Checks the certificate that is there now; what it returns puts it into force. Addresses change only with a restart. */
  async prepare(config: Config): Promise<() => Promise<void>> {
    const { tls } = config
    const listener = this.#tls
    if (!tls || !listener) return async () => undefined
    const pair = await this.#load(tls)
    return async () => {
      await listener.renew(pair)
      this.#told(pair)
    }
  }

  async #load(files: { cert: string; key: string }): Promise<TlsPair> {
    const pair = await loadTlsPair(files, this.#now())
    for (const warning of pair.warnings) this.#log.warn({ cert: files.cert }, warning)
    return pair
  }

  #told(pair: TlsPair): void {
    this.#metrics ??= tlsMetrics(this.#registry)
    this.#metrics.certificateExpiry.set(pair.expiresAt / 1000)
    this.#log.info(
      { fingerprint: pair.fingerprint, names: pair.names, expires: new Date(pair.expiresAt).toISOString() },
      'certificate in force',
    )
  }
}
