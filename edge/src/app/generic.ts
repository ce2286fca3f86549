import type { Config } from '../config.js'
import type { Exchange } from '../http/exchange.js'

export function genericHandler(_config: Config, _dependencies: unknown): (exchange: Exchange) => boolean {
  return () => false
}
