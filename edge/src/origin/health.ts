export type OriginState = 'up' | 'trial' | 'down'

interface Record {
  failures: number
  /** While down: when the next trial is due. */
  trialAt: number
}

/**
 * Passive health, a circuit per origin: after some failures in a row it is down for a cool-down; then one request at a time tries it, and
 * the first success closes the circuit.
 */
export class OriginHealth {
  readonly #limit: number
  readonly #coolDownMs: number
  readonly #now: () => number
  readonly #records = new Map<string, Record>()

  constructor(options: { failures: number; coolDownMs: number; now: () => number }) {
    this.#limit = options.failures
    this.#coolDownMs = options.coolDownMs
    this.#now = options.now
  }

  state(id: string): OriginState {
    const record = this.#records.get(id)
    if (!record || record.failures < this.#limit) return 'up'
    return this.#now() >= record.trialAt ? 'trial' : 'down'
  }

  /** A request goes out: a trial's origin is down for everybody else until the trial ends, or as long as a cool-down. */
  started(id: string): void {
    if (this.state(id) === 'trial') this.#records.get(id)!.trialAt = this.#now() + this.#coolDownMs
  }

  /** @returns whether this closed its circuit. */
  succeeded(id: string): boolean {
    const closed = (this.#records.get(id)?.failures ?? 0) >= this.#limit
    this.#records.delete(id)
    return closed
  }

  /** @returns whether this opened its circuit. */
  failed(id: string): boolean {
    const failures = (this.#records.get(id)?.failures ?? 0) + 1
    this.#records.set(id, { failures, trialAt: this.#now() + this.#coolDownMs })
    return failures === this.#limit
  }
}
