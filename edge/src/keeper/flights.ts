import { MillraceError } from '@millrace/common/errors'
import type { Fill, FillHead, Opened } from './contract.js'
import { FillView, forOthers } from './fill-view.js'

/** What a fill has to be for others to join it. */
export interface Flight extends Fill {
  /** The head's promise is settled. */
  readonly told: boolean
  /** A newer fill of its key has begun: what it brings must not take the place of what that one has stored. */
  supersede(): void
}

export interface FlightLimits {
  maxFlights: number
  /** Of one flight, over its whole life. */
  maxJoins: number
  /** A flight without a head after so long is joined no more, and whoever waits for it goes its own way. */
  lockTimeoutMs: number
}

interface Entry<F extends Flight> {
  fill: F
  startedAt: number
  joins: number
  /** What those see who joined before the head was told; they share one timer. */
  waiting: Waiting | undefined
}

/** One fill per key at a time; who comes while it runs joins it, unless it is of no use to them. All counts are bounded. */
export class Flights<F extends Flight> {
  readonly #limits: FlightLimits
  readonly #joinable: (fill: F) => boolean
  readonly #flights = new Map<string, Entry<F>>()
  /** Also those that nobody can join any more but that still clean up. */
  readonly #running = new Map<Entry<F>, Promise<void>>()
  #joined = 0

  constructor(limits: FlightLimits, joinable: (fill: F) => boolean) {
    this.#limits = limits
    this.#joinable = joinable
  }

  get size(): number {
    return this.#running.size
  }

  /** Requests so far that another one's fill served, or was to. */
  get joined(): number {
    return this.#joined
  }

  /** The fill of this key that can be joined. */
  peek(key: string): F | undefined {
    const flight = this.#flights.get(key)
    return flight && this.#joinable(flight.fill) ? flight.fill : undefined
  }

  /** How many such fills there are, with those that nobody can join any more. */
  count(wanted: (fill: F) => boolean): number {
    let count = 0
    for (const { fill } of this.#running.keys()) if (wanted(fill)) count++
    return count
  }

  /**
   * @returns undefined when there is nothing to join.
   * @throws MillraceError `edge-busy` (503) when too many have joined.
   */
  join(key: string): Opened | undefined {
    const flight = this.#flights.get(key)
    if (!flight || !this.#joinable(flight.fill)) return undefined
    if (flight.joins >= this.#limits.maxJoins) throw busy('too many requests wait for this')
    const left = this.#limits.lockTimeoutMs - (performance.now() - flight.startedAt)
    // A timer may end a little before its time by the other clock.
    if (!flight.fill.told && (left <= 0 || flight.waiting?.late)) return { kind: 'pass', reason: 'lock-timeout' }
    flight.joins++
    this.#joined++
    if (flight.fill.told) return { kind: 'fill', fill: flight.fill, led: false }
    flight.waiting ??= new Waiting(flight.fill, left)
    return { kind: 'fill', fill: flight.waiting.view, led: false }
  }

  /**
   * @param start begins the fill; `ended` must not reject. The key is free again when it resolves.
   * @throws MillraceError `edge-busy` (503) when too many fills run.
   */
  lead(key: string, start: () => { fill: F; ended: Promise<void> }): Opened {
    if (this.#running.size >= this.#limits.maxFlights) throw busy('too many fills are running')
    this.#flights.get(key)?.fill.supersede()
    const { fill, ended } = start()
    const flight: Entry<F> = { fill, startedAt: performance.now(), joins: 0, waiting: undefined }
    this.#flights.set(key, flight)
    const running = ended.then(() => {
      this.#running.delete(flight)
      flight.waiting?.stop()
      if (this.#flights.get(key) === flight) this.#flights.delete(key)
    })
    this.#running.set(flight, running)
    return { kind: 'fill', fill, led: true }
  }

  /** Resolves when what runs now has ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#running.values())
  }
}

/** What those see of a fill who wait for its head, but not for ever. */
class Waiting {
  readonly view: Fill
  late = false
  readonly #timer: NodeJS.Timeout

  constructor(fill: Flight, ms: number) {
    let giveUp!: (head: FillHead) => void
    const late = new Promise<FillHead>((resolve) => {
      giveUp = resolve
    })
    this.#timer = setTimeout(() => {
      this.late = true
      giveUp({ kind: 'pass', reason: 'lock-timeout' })
    }, ms)
    const head = fill.head.then(forOthers)
    void head.then(() => this.stop())
    this.view = new FillView(fill, Promise.race([head, late]))
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

function busy(message: string): MillraceError {
  return new MillraceError(message, { code: 'edge-busy', source: 'internal', retryable: true, status: 503 })
}
