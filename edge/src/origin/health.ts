export type OriginState = 'up' | 'trial' | 'down'

export interface HealthOptions {
  /** In a row, after which an origin is down; requests and probes are counted apart. */
  failures: number
  coolDownMs: number
  now: () => number
  /** In [0, 1): spreads trials, so that a fleet doesn't try a weak origin all at once. */
  random: () => number
}

interface Circuit {
  failures: number
  probeFailures: number
  /** Whether the latest failed request had a connection: a probe that is answered then proves nothing new. */
  connected: boolean
  /** While down: when the next trial is due. */
  trialAt: number
}

/**
 * A circuit per origin: after some failures in a row it is down for a cool-down; then one request at a time tries it, and the first
 * success closes the circuit. Probes open it too, and close what they opened, or what failing connections did. An origin whose data is
 * bad while its probe path is fine is left to trials: otherwise each probe would send viewers back to it.
 */
export class OriginHealth {
  readonly #options: HealthOptions
  readonly #circuits = new Map<string, Circuit>()

  constructor(options: HealthOptions) {
    this.#options = options
  }

  state(id: string): OriginState {
    const circuit = this.#circuits.get(id)
    if (!circuit || !this.#open(circuit)) return 'up'
    return this.#options.now() >= circuit.trialAt ? 'trial' : 'down'
  }

  /** A request goes out: a trial's origin is down for everybody else until the trial ends, or as long as a cool-down. */
  started(id: string): void {
    if (this.state(id) === 'trial') this.#circuits.get(id)!.trialAt = this.#nextTrial()
  }

  /** @returns whether this closed its circuit. */
  succeeded(id: string): boolean {
    const circuit = this.#circuits.get(id)
    this.#circuits.delete(id)
    return circuit !== undefined && this.#open(circuit)
  }

  /**
   * @param connected whether the request had a connection
   * @returns whether this opened its circuit
   */
  failed(id: string, connected: boolean): boolean {
    return this.#change(id, (circuit) => {
      circuit.failures++
      circuit.connected = connected
    })
  }

  /** @returns whether this opened or closed its circuit. */
  probed(id: string, alive: boolean): boolean {
    if (!alive) return this.#change(id, (circuit) => circuit.probeFailures++)
    const circuit = this.#circuits.get(id)
    if (!circuit) return false
    const wasOpen = this.#open(circuit)
    circuit.probeFailures = 0
    if (wasOpen && !circuit.connected) circuit.failures = 0
    return wasOpen && !this.#open(circuit)
  }

  forget(id: string): void {
    this.#circuits.delete(id)
  }

  #change(id: string, count: (circuit: Circuit) => void): boolean {
    const circuit = this.#circuits.get(id) ?? { failures: 0, probeFailures: 0, connected: false, trialAt: 0 }
    const wasOpen = this.#open(circuit)
    count(circuit)
    circuit.trialAt = this.#nextTrial()
    this.#circuits.set(id, circuit)
    return !wasOpen && this.#open(circuit)
  }

  #open(circuit: Circuit): boolean {
    return circuit.failures >= this.#options.failures || circuit.probeFailures >= this.#options.failures
  }

  #nextTrial(): number {
    const { now, random, coolDownMs } = this.#options
    return now() + coolDownMs * (0.8 + 0.4 * random())
  }
}
