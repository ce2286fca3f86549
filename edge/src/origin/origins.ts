import { type Attempt, type Fetched, fetchWithFallback, isFailure } from './fallback.js'
import type { Origin } from './fetch.js'
import type { OriginHealth } from './health.js'
import { orderOrigins } from './select.js'

export interface OriginsRequest {
  method: 'GET' | 'HEAD'
  path: string
  range?: string | undefined
  /** Statuses that end the search. */
  wanted: readonly number[]
  signal: AbortSignal
}

export interface OriginsObserver {
  onAttempt: (attempt: Attempt) => void
  /** An origin's circuit opened or closed. */
  onHealth: (origin: string, up: boolean) => void
}

/** All origins of this edge: who is asked first, and what became of it. */
export class Origins {
  readonly #origins: ReadonlyMap<string, Origin>
  readonly #health: OriginHealth
  readonly #observer: OriginsObserver

  constructor(origins: readonly Origin[], health: OriginHealth, observer: OriginsObserver) {
    this.#origins = new Map(origins.map((origin) => [origin.id, origin]))
    this.#health = health
    this.#observer = observer
  }

  /** The known ones of a route, in the order to ask them; empty when none is known. */
  order(route: readonly string[]): string[] {
    return orderOrigins(route, (id) => (this.#origins.has(id) ? this.#health.state(id) : undefined))
  }

  /** `order` is of known origins only. */
  fetch(order: readonly string[], request: OriginsRequest): Promise<Fetched> {
    return fetchWithFallback(
      order,
      request.wanted,
      (id) => {
        this.#health.started(id)
        return this.#origins.get(id)!.fetch(request)
      },
      (attempt) => {
        // Our own stop is no sign of an origin's health.
        if (request.signal.aborted) return
        this.#observer.onAttempt(attempt)
        this.#record(attempt.origin, !isFailure(attempt.outcome))
      },
    )
  }

  /** A body that had begun broke. */
  bodyBroke(id: string): void {
    this.#record(id, false)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#origins.values()].map((origin) => origin.close()))
  }

  #record(id: string, well: boolean): void {
    const changed = well ? this.#health.succeeded(id) : this.#health.failed(id)
    if (changed) this.#observer.onHealth(id, well)
  }
}
