import type { Ticker } from '../src/limits/timer-wheel.js'

/** A clock that goes when it is told to, and calls its timers on the way. Timers may be late, as under load. */
export class SimulatedTime implements Ticker {
  #now: number
  readonly #timers = new Set<{ ms: number; next: number; run: () => void }>()
  readonly lateness: () => number

  constructor(start = 0, lateness: () => number = () => 0) {
    this.#now = start
    this.lateness = lateness
  }

  readonly now = (): number => this.#now

  every(ms: number, run: () => void) {
    const timer = { ms, next: this.#now + ms + this.lateness(), run }
    this.#timers.add(timer)
    return { stop: () => void this.#timers.delete(timer) }
  }

  get timers(): number {
    return this.#timers.size
  }

  /** Goes on, from timer to timer, with what they resolve running in between. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      let due: { ms: number; next: number; run: () => void } | undefined
      for (const timer of this.#timers) if (timer.next <= end && (!due || timer.next < due.next)) due = timer
      if (!due) break
      this.#now = Math.max(this.#now, due.next)
      due.next = this.#now + due.ms + this.lateness()
      due.run()
      await settled()
    }
    this.#now = end
  }
}

/** Resolves when promises that are ready have run what follows them. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
