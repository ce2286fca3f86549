import { type Attempt, type Fetched, fetchWithFallback, isFailure } from './fallback.js'
import type { Origin, OriginAnswer, OriginRequest } from './fetch.js'
import type { OriginHealth } from './health.js'
import { orderOrigins } from './select.js'

export interface OriginsRequest extends OriginRequest {
  /** Statuses that end the search. */
  wanted: readonly number[]
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
  async fetch(order: readonly string[], request: OriginsRequest): Promise<Fetched> {
    const fetched = await fetchWithFallback(
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
        // A head proves little: an origin with a failing disk sends heads all day.
        if (attempt.outcome !== 'ok') this.#record(attempt.origin, !isFailure(attempt.outcome))
      },
    )
    return fetched.ok ? { ok: true, answer: this.#watched(fetched.answer, request.signal) } : fetched
  }

  async close(): Promise<void> {
    await Promise.all([...this.#origins.values()].map((origin) => origin.close()))
  }

  /** The answer, whose origin did well when the body has come to its end, or is not wanted. */
  #watched(answer: OriginAnswer, signal: AbortSignal): OriginAnswer {
    const record = (well: boolean) => this.#record(answer.origin, well)
    async function* body() {
      try {
        yield* answer.body
      } catch (error) {
        if (!signal.aborted) record(false)
        throw error
      }
      record(true)
    }
    return {
      ...answer,
      body: body(),
      discard: () => {
        answer.discard()
        record(true)
      },
    }
  }

  #record(id: string, well: boolean): void {
    const changed = well ? this.#health.succeeded(id) : this.#health.failed(id)
    if (changed) this.#observer.onHealth(id, well)
  }
}
