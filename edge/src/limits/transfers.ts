import type { Exchange } from '../http/exchange.js'
import type { BufferPool } from '../http/buffer-pool.js'
import type { Pace, Sending } from '../http/send.js'
import type { Limits } from './config.js'
import { type ReadRate, ReadRateGuard, type WatchedTransfer } from './min-rate.js'
import { Pacer } from './pacing.js'
import { type Ticker, TimerWheel } from './timer-wheel.js'

/** What each transfer may take: bandwidth, and patience with its client. */
export class Transfers {
  readonly #pool: BufferPool
  readonly #ticker: Ticker
  readonly #wheel: TimerWheel
  #limits: Limits
  #guard: ReadRateGuard | undefined

  constructor(pool: BufferPool, limits: Limits, ticker: Ticker) {
    this.#pool = pool
    this.#ticker = ticker
    this.#wheel = new TimerWheel(ticker)
    this.#limits = limits
    this.#guard = guardOf(limits, ticker)
  }

  /** Whether every answer has to go piece by piece. */
  get paced(): boolean {
    return this.#limits.transferRate !== undefined || this.#guard !== undefined
  }

  /** For transfers that begin from now on. */
  configure(limits: Limits): void {
    this.#limits = limits
    const rate = readRate(limits)
    if (rate && this.#guard) this.#guard.configure(rate)
    else this.#guard = guardOf(limits, this.#ticker)
  }

  sending(exchange: Exchange): Sending {
    const sending: Sending = { pool: this.#pool }
    const { transferRate, transferBurst } = this.#limits
    if (transferRate !== undefined) sending.pace = this.#pace(exchange, transferRate, transferBurst)
    const guard = this.#guard
    if (guard) {
      let watched: WatchedTransfer | undefined
      sending.onRefused = () => {
        watched ??= guard.watch(() => exchange.cut())
        watched.blocked()
      }
      sending.onTook = (bytes, all) => watched?.took(bytes, all)
      sending.onEnd = () => watched?.end()
    }
    return sending
  }

  #pace(exchange: Exchange, rate: number, burst: number): Pace {
    const pacer = new Pacer({ rate, burst }, this.#ticker.now())
    const grant = async (wanted: number): Promise<number> => {
      for (;;) {
        const granted = pacer.grant(wanted, this.#ticker.now())
        if (granted > 0 || exchange.aborted) return Math.max(granted, 1)
        const waiting = this.#wheel.wait(pacer.wait(wanted, this.#ticker.now()))
        exchange.onAborted(() => waiting.cancel())
        await waiting.done
      }
    }
    return {
      grant: (wanted) => {
        const granted = pacer.grant(wanted, this.#ticker.now())
        return granted > 0 ? granted : grant(wanted)
      },
    }
  }
}

function readRate({ minRate, minRateWindow }: Limits): ReadRate | undefined {
  return minRate === undefined ? undefined : { minRate, windowMs: minRateWindow }
}

function guardOf(limits: Limits, ticker: Ticker): ReadRateGuard | undefined {
  const rate = readRate(limits)
  return rate && new ReadRateGuard(rate, ticker)
}
