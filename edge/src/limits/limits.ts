import { rateKeys } from '../http/ip-address.js'
import type { Limits } from './config.js'
import { ReadRateGuard } from './min-rate.js'
import { Pacer } from './pacing.js'
import { RateLimit } from './rate-limit.js'
import { type Ticker, TimerWheel } from './timer-wheel.js'

/** The limits in force. A reload changes them for what comes; transfers that run keep their pace, and their watch if they have one. */
export class EdgeLimits {
  readonly #ticker: Ticker
  readonly #wheel: TimerWheel
  readonly #keyOf = rateKeys()
  #config: Limits
  #requests: RateLimit | undefined
  #readers: ReadRateGuard | undefined

  constructor(config: Limits, ticker: Ticker) {
    this.#ticker = ticker
    this.#wheel = new TimerWheel(ticker)
    this.#config = config
    this.configure(config)
  }

  configure(config: Limits): void {
    this.#config = config
    const { requestsPerSecond, requestBurst, minRate, minRateWindow } = config
    if (requestsPerSecond === undefined) this.#requests = undefined
    else if (this.#requests) this.#requests.configure({ requestsPerSecond, requestBurst })
    else this.#requests = new RateLimit({ requestsPerSecond, requestBurst })
    if (minRate === undefined) this.#readers = undefined
    else if (this.#readers) this.#readers.configure({ minRate, windowMs: minRateWindow })
    else this.#readers = new ReadRateGuard({ minRate, windowMs: minRateWindow }, this.#ticker)
  }

  /** Requests at once in this worker. */
  get maxRequests(): number {
    return this.#config.maxRequests
  }

  /** Whether transfers have to go piece by piece, also those that one send could end. */
  get paced(): boolean {
    return this.#config.transferRate !== undefined || this.#readers !== undefined
  }

  /** Whether `allow` has anything to say: else nobody needs to find out who the client is. */
  get rated(): boolean {
    return this.#requests !== undefined
  }

  /**
   * @param client canonical address
   * @returns 0 when the request may go on; else seconds after which it may, for Retry-After
   */
  allow(client: string): number {
    return this.#requests ? this.#requests.allow(this.#keyOf(client), this.#ticker.now()) : 0
  }

  /** Who watches a transfer whose socket has refused bytes; undefined where readers may be as slow as they like. */
  get readers(): ReadRateGuard | undefined {
    return this.#readers
  }

  /** For one transfer; undefined where it may go as fast as it can. */
  pace(): TransferPace | undefined {
    const { transferRate, transferBurst } = this.#config
    if (transferRate === undefined) return undefined
    return new TransferPace(new Pacer({ rate: transferRate, burst: transferBurst }, this.#ticker.now()), this.#wheel, this.#ticker)
  }
}

/** One transfer's pacer with the wheel that it waits on. */
export class TransferPace {
  readonly #pacer: Pacer
  readonly #wheel: TimerWheel
  readonly #ticker: Ticker

  constructor(pacer: Pacer, wheel: TimerWheel, ticker: Ticker) {
    this.#pacer = pacer
    this.#wheel = wheel
    this.#ticker = ticker
  }

  /**
   * How many of the `wanted` bytes go next, at least one: at once, or when their time has come. One piece is waited for no longer than
   * 50 ms or what 4 KiB take, so that a client that leaves meanwhile is found gone soon enough.
   */
  next(wanted: number): number | Promise<number> {
    return this.#pacer.grant(wanted, this.#ticker.now()) || this.#later(wanted)
  }

  async #later(wanted: number): Promise<number> {
    for (;;) {
      await this.#wheel.wait(this.#pacer.wait(wanted, this.#ticker.now())).done
      const granted = this.#pacer.grant(wanted, this.#ticker.now())
      if (granted > 0) return granted
    }
  }
}
