import { MillraceError } from '@millrace/common/errors'

export interface FlightLimits {
  maxFlights: number
  maxJoins: number
}

/** One piece of work per key at a time; who comes while it runs joins it. Both counts are bounded. */
export class SingleFlight<T> {
  readonly #limits: FlightLimits
  readonly #flights = new Map<string, { value: T; joins: number; ended: Promise<void> }>()

  constructor(limits: FlightLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#flights.size
  }

  /**
   * @param start begins the work; `ended` must not reject. The key is free again when it resolves.
   * @throws MillraceError `edge-busy` (503) beyond a limit.
   */
  run(key: string, start: () => { value: T; ended: Promise<void> }): { value: T; led: boolean } {
    const flight = this.#flights.get(key)
    if (flight) {
      if (flight.joins >= this.#limits.maxJoins) throw busy('too many requests wait for this')
      flight.joins++
      return { value: flight.value, led: false }
    }
    if (this.#flights.size >= this.#limits.maxFlights) throw busy('too many fills are running')
    const { value, ended } = start()
    this.#flights.set(key, { value, joins: 0, ended: ended.then(() => void this.#flights.delete(key)) })
    return { value, led: true }
  }

  /** Resolves when what runs now has ended. */
  async idle(): Promise<void> {
    await Promise.all([...this.#flights.values()].map((flight) => flight.ended))
  }
}

function busy(message: string): MillraceError {
  return new MillraceError(message, { code: 'edge-busy', source: 'internal', retryable: true, status: 503 })
}
