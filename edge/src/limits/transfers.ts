import type { BufferPool } from '../http/buffer-pool.js'
import type { Exchange } from '../http/exchange.js'
import type { Sending } from '../http/send.js'
import type { EdgeLimits } from './limits.js'
import type { WatchedTransfer } from './min-rate.js'

/** What one transfer may take: memory, bandwidth, and patience with its client. */
export function sendingOf(exchange: Exchange, pool: BufferPool, limits: EdgeLimits): Sending {
  const sending: Sending = { pool }
  const pace = limits.pace()
  if (pace) sending.pace = { grant: (wanted) => pace.next(wanted) }
  const { readers } = limits
  if (readers) {
    let watched: WatchedTransfer | undefined
    sending.onRefused = () => {
      watched ??= readers.watch(() => exchange.cut())
      watched.blocked()
    }
    sending.onTook = (bytes, all) => watched?.took(bytes, all)
    sending.onEnd = () => watched?.end()
  }
  return sending
}
