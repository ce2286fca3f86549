import { MillraceError } from '@millrace/common/errors'

export interface FlightLimits {
  maxFlights: number
  maxJoins: number
}

/** One piece of work per key at a time; who comes while it runs joins it, unless it has come to nothing. Both counts are bounded. */
export class SingleFlight<T> {
  readonly #limits: FlightLimits
  readonly #isDead: (value: T) => boolean
  readonly #flights = new Map<string, { value: T; joins: number }>()
  /** Also those that are dead but not yet cleaned up. */
  readonly #running = new Set<Promise<void>>()

  constructor(limits: FlightLimits, isDead: (value: T) => boolean = () => false) {
    this.#limits = limits
    this.#isDead = isDead
  }

  get size(): number {
    return this.#running.size
  }

  /**
   * @param start begins the work; `ended` must not reject. The key is free again when it resolves.
   * @throws MillraceError `edge-busy` (503) beyond a limit.
   */
  run(key: string, start: () => { value: T; ended: Promise<void> }): { value: T; led: boolean } {
    const flight = this.#flights.get(key)
    if (flight && !this.#isDead(flight.value)) {
      if (flight.joins >= this.#limits.maxJoins) throw busy('too many requests wait for this')
      flight.joins++
      return { value: flight.value, led: false }
    }
    if (this.#running.size >= this.#limits.maxFlights) throw busy('too many fills are running')
    const { value, ended } = start()
    const started = { value, joins: 0 }
    this.#flights.set(key, started)
    const running = ended.then(() => {
      this.#running.delete(running)
      if (this.#flights.get(key) === started) this.#flights.delete(key)
    })
    this.#running.add(running)
    return { value, led: true }
  }

  /** Resolves when what runs now has ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#running)
  }
}

function busy(message: string): MillraceError {
  return new MillraceError(message, { code: 'edge-busy', source: 'internal', retryable: true, status: 503 })
}
