export interface ProbeOptions {
  intervalMs: number
  timeoutMs: number
  random: () => number
  /** Whether the origin answered, before the signal aborts. */
  ask: (origin: string, signal: AbortSignal) => Promise<boolean>
  onProbed: (origin: string, alive: boolean) => void
}

/** Asks each origin from time to time whether it is there, one request at a time. Its timers keep no process alive. */
export class Prober {
  readonly #options: ProbeOptions
  readonly #running = new Map<string, AbortController>()

  constructor(options: ProbeOptions) {
    this.#options = options
  }

  /** Probes these from now on, and no others. */
  watch(origins: readonly string[]): void {
    for (const [origin, stop] of this.#running) {
      if (origins.includes(origin)) continue
      stop.abort()
      this.#running.delete(origin)
    }
    for (const origin of origins) {
      if (this.#running.has(origin)) continue
      const stop = new AbortController()
      this.#running.set(origin, stop)
      this.#later(origin, stop.signal)
    }
  }

  /** Half to one and a half intervals from now: a fleet of edges spreads over time. */
  #later(origin: string, stop: AbortSignal): void {
    const { intervalMs, random } = this.#options
    const timer = setTimeout(() => void this.#probe(origin, stop).then(() => this.#again(origin, stop)), intervalMs * (0.5 + random()))
    timer.unref()
    stop.addEventListener('abort', () => clearTimeout(timer), { once: true })
  }

  #again(origin: string, stop: AbortSignal): void {
    if (!stop.aborted) this.#later(origin, stop)
  }

  async #probe(origin: string, stop: AbortSignal): Promise<void> {
    const limit = new AbortController()
    const abort = () => limit.abort()
    const timer = setTimeout(abort, this.#options.timeoutMs)
    stop.addEventListener('abort', abort, { once: true })
    const alive = await this.#options.ask(origin, limit.signal)
    clearTimeout(timer)
    stop.removeEventListener('abort', abort)
    if (!stop.aborted) this.#options.onProbed(origin, alive)
  }
}
