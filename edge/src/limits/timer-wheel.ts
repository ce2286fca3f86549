/** What the wheel needs of time; a test can bring its own. */
export interface Ticker {
  /** Milliseconds of a clock that doesn't go back. */
  now(): number
  /** Calls again and again until stopped. */
  every(ms: number, run: () => void): { stop(): void }
}

/** One who waits. */
export interface Waiting {
  /** Ends when the time is over, or at `cancel`. */
  readonly done: Promise<void>
  /** Ends the wait now. */
  cancel(): void
}

const SLOTS = 256

/**
 * Many short waits on one timer: whoever waits stands in the list of its tick (a hashed timing wheel, Varghese and Lauck 1987), so that
 * beginning and ending a wait costs the same for one as for thousands. The timer runs only while somebody waits.
 */
export class TimerWheel {
  readonly #ticker: Ticker
  readonly #tickMs: number
  readonly #slots: Set<Waiter>[] = Array.from({ length: SLOTS }, () => new Set())
  #waiting = 0
  #timer: { stop(): void } | undefined
  /** The last tick whose waiters were let go. */
  #tick = 0

  constructor(ticker: Ticker, tickMs = 10) {
    this.#ticker = ticker
    this.#tickMs = tickMs
  }

  /** Never ends early, and late by less than two ticks and what the event loop lags. */
  wait(ms: number): Waiting {
    const now = this.#ticker.now()
    if (this.#waiting === 0) this.#tick = Math.floor(now / this.#tickMs)
    const due = Math.max(this.#tick + 1, Math.ceil((now + ms) / this.#tickMs))
    const slot = this.#slots[due % SLOTS]!
    const waiter = new Waiter(due, (self) => {
      if (slot.delete(self)) this.#left()
    })
    slot.add(waiter)
    this.#waiting++
    this.#timer ??= this.#ticker.every(this.#tickMs, () => this.#advance())
    return waiter
  }

  get waiting(): number {
    return this.#waiting
  }

  get running(): boolean {
    return this.#timer !== undefined
  }

  #advance(): void {
    const to = Math.floor(this.#ticker.now() / this.#tickMs)
    // A loop that was blocked for longer than one turn has every slot behind it.
    const from = Math.max(this.#tick + 1, to - SLOTS + 1)
    this.#tick = Math.max(this.#tick, to)
    for (let tick = from; tick <= to; tick++) {
      const slot = this.#slots[tick % SLOTS]!
      // What stands further ahead in a later turn of the wheel stays.
      for (const waiter of slot) if (waiter.due <= to) waiter.cancel()
    }
  }

  #left(): void {
    if (--this.#waiting > 0) return
    this.#timer?.stop()
    this.#timer = undefined
  }
}

class Waiter implements Waiting {
  readonly due: number
  readonly done: Promise<void>
  readonly #leave: (self: Waiter) => void
  #resolve!: () => void

  constructor(due: number, leave: (self: Waiter) => void) {
    this.due = due
    this.#leave = leave
    this.done = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  cancel(): void {
    this.#leave(this)
    this.#resolve()
  }
}

/** The machine's clock. Its timer doesn't keep the process alive: a transfer has a socket for that. */
export const systemTicker: Ticker = {
  now: () => performance.now(),
  every: (ms, run) => {
    const timer = setInterval(run, ms)
    timer.unref()
    return { stop: () => clearInterval(timer) }
  },
}
