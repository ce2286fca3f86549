import type { Ticker } from './timer-wheel.js'

export interface ReadRate {
  /** Bytes per second. */
  readonly minRate: number
  /** Milliseconds of waiting for the client after which it is judged, for the first time and then again. */
  readonly windowMs: number
}

/** What a transfer's client did in the running window. */
export interface ReadWindow {
  /** Bytes that its socket took. */
  bytes: number
  /** Milliseconds in which the edge had bytes that the socket didn't take. Waiting for an origin is not among them. */
  blockedMs: number
}

export type ReadVerdict = 'early' | 'fast-enough' | 'too-slow'

/** Only time that was spent on the client counts, so a transfer behind a slow fill, or a paced one, is never too slow. */
export function judgeReader({ bytes, blockedMs }: ReadWindow, { minRate, windowMs }: ReadRate): ReadVerdict {
  if (blockedMs < windowMs) return 'early'
  return bytes * 1000 < minRate * blockedMs ? 'too-slow' : 'fast-enough'
}

/** How often all transfers are looked at, at most. */
const SWEEP_MS = 1000

/** Cuts transfers whose clients read too slowly, which would else hold buffers and descriptors for as long as they like. */
export class ReadRateGuard {
  #rate: ReadRate
  readonly #ticker: Ticker
  readonly #watched = new Set<WatchedTransfer>()
  #timer: { stop(): void } | undefined

  constructor(rate: ReadRate, ticker: Ticker) {
    this.#rate = rate
    this.#ticker = ticker
  }

  configure(rate: ReadRate): void {
    this.#rate = rate
  }

  /**
   * To be called when a socket refuses bytes for the first time: an answer that goes out at once costs nothing here.
   *
   * @param cut closes the connection; called at most once
   */
  watch(cut: () => void): WatchedTransfer {
    const transfer = new WatchedTransfer(cut, this.#ticker, (self) => this.#forget(self))
    this.#watched.add(transfer)
    this.#timer ??= this.#ticker.every(Math.min(SWEEP_MS, this.#rate.windowMs), () => this.#sweep())
    return transfer
  }

  get watched(): number {
    return this.#watched.size
  }

  #sweep(): void {
    const now = this.#ticker.now()
    for (const transfer of this.#watched) {
      const verdict = judgeReader(transfer.settle(now), this.#rate)
      if (verdict === 'fast-enough') transfer.renew()
      else if (verdict === 'too-slow') transfer.cut()
    }
  }

  #forget(transfer: WatchedTransfer): void {
    if (!this.#watched.delete(transfer) || this.#watched.size > 0) return
    this.#timer?.stop()
    this.#timer = undefined
  }
}

export class WatchedTransfer {
  readonly #cut: () => void
  readonly #ticker: Ticker
  readonly #forget: (self: WatchedTransfer) => void
  readonly #window: ReadWindow = { bytes: 0, blockedMs: 0 }
  #blockedSince: number | undefined

  constructor(cut: () => void, ticker: Ticker, forget: (self: WatchedTransfer) => void) {
    this.#cut = cut
    this.#ticker = ticker
    this.#forget = forget
  }

  /** The socket has refused bytes. */
  blocked(): void {
    this.#blockedSince ??= this.#ticker.now()
  }

  /** The socket took some of them; `all`: it wants more. Called for each part, because a slow client may take long for a whole buffer. */
  took(bytes: number, all: boolean): void {
    this.#window.bytes += bytes
    if (!all) return
    this.settle(this.#ticker.now())
    this.#blockedSince = undefined
  }

  /** The transfer is over, whichever way. */
  end(): void {
    this.#forget(this)
  }

  cut(): void {
    this.end()
    this.#cut()
  }

  /** The window up to now. */
  settle(now: number): ReadWindow {
    if (this.#blockedSince !== undefined) {
      this.#window.blockedMs += now - this.#blockedSince
      this.#blockedSince = now
    }
    return this.#window
  }

  renew(): void {
    this.#window.bytes = 0
    this.#window.blockedMs = 0
  }
}
