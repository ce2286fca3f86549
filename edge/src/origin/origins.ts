import type { FetchConfig, HealthConfig, OriginConfig } from './config.js'
import { type ContinuationOutcome, continueBody, resumeFields } from './continue-body.js'
import type { Attempt, Fetched, OriginAnswer, OriginGroup, OriginRequest } from './contract.js'
import { isFailure, outcomeOf } from './fallback.js'
import { OriginHealth } from './health.js'
import { type Asked, Origin, repeatable, type Sendable } from './origin.js'
import { Prober } from './probe.js'
import { RequestBody } from './request-body.js'
import { requestFields } from './request-fields.js'
import { RetryBudget } from './retry-budget.js'
import { type HedgeOutcome, type Judged, Search } from './search.js'
import { orderOrigins } from './select.js'

export interface OriginsOptions {
  edgeId: string
  origins: readonly OriginConfig[]
  fetch: Pick<
    FetchConfig,
    'connectTimeout' | 'headersTimeout' | 'bodyTimeout' | 'connections' | 'queueTimeout' | 'hedgeAfter' | 'retryBudget'
  >
  health: HealthConfig
  /** Milliseconds. */
  now: () => number
  /** In [0, 1). */
  random: () => number
}

export interface OriginsObserver {
  /** `ms` from the request, waiting for a connection included, to the outcome. */
  onAttempt: (attempt: Attempt, ms: number) => void
  /** An origin's circuit opened or closed. */
  onHealth: (origin: string, up: boolean) => void
  onHedge: (outcome: HedgeOutcome) => void
  onContinued: (outcome: ContinuationOutcome) => void
  /** A retry was not sent. */
  onBudgetSpent: () => void
}

/** All origins of this edge: who is asked first, and what became of it. */
export class Origins implements OriginGroup {
  readonly #options: OriginsOptions
  readonly #observer: OriginsObserver
  readonly #health: OriginHealth
  readonly #budget: RetryBudget
  readonly #prober: Prober | undefined
  readonly #draining = new Set<Origin>()
  #origins: ReadonlyMap<string, Origin> = new Map()

  constructor(options: OriginsOptions, observer: OriginsObserver) {
    const { health, fetch, now, random } = options
    this.#options = options
    this.#observer = observer
    this.#health = new OriginHealth({ failures: health.failures, coolDownMs: health.coolDown, now, random })
    this.#budget = new RetryBudget({ ...fetch.retryBudget, now })
    const { probe } = health
    if (probe) {
      this.#prober = new Prober({
        intervalMs: probe.interval,
        timeoutMs: probe.timeout,
        random,
        ask: (id, signal) => this.#alive(id, probe.path, signal),
        onProbed: (id, alive) => {
          if (this.#origins.has(id) && this.#health.probed(id, alive)) this.#observer.onHealth(id, alive)
        },
      })
    }
    this.setOrigins(options.origins)
  }

  /** The known ones of a route, in the order to ask them; empty when none is known. */
  order(route: readonly string[]): string[] {
    return orderOrigins(route, (id) => (this.#origins.has(id) ? this.#health.state(id) : undefined))
  }

  /** Of each origin, for the admin API. */
  states(): { id: string; url: string; up: boolean }[] {
    return [...this.#origins].map(([id, origin]) => ({ id, url: origin.url, up: this.#health.state(id) === 'up' }))
  }

  async fetch(order: readonly string[], request: Parameters<OriginGroup['fetch']>[1]): Promise<Fetched> {
    const sendable = this.#sendable(request)
    const { wanted, signal } = request
    this.#budget.deposit()
    // Whoever made the order may be another process, or have waited since: who is asked first, and who is tried again, is decided in the turn
    // in which the first one is asked.
    const known = this.order(order)
    const search = new Search({
      order: known,
      beyond: () => (request.beyondRoute ? this.#others(order) : []),
      hedgeAfterMs: this.#options.fetch.hedgeAfter,
      ask: (id, stop) => this.#ask(id, sendable, wanted, stop ? [signal, stop] : [signal]),
      repeatable: () => repeatable(sendable),
      retry: (gentle) => this.#budget.take(gentle ? 0.5 : 0),
      onHedge: this.#observer.onHedge,
      // It is stopped before it can time out: unless this counts, one that hangs would be asked first for ever.
      onOutrun: (id) => {
        const origin = this.#origins.get(id)
        if (origin) this.#failed(origin, true)
      },
      onBudgetSpent: this.#observer.onBudgetSpent,
      signal,
    })
    const fetched = await search.run()
    if (fetched.ok) return fetched
    const gone = order.filter((id) => !known.includes(id))
    return { ok: false, attempts: [...fetched.attempts, ...gone.map((origin) => ({ origin, outcome: 'unreachable' }) as const)] }
  }

  continued(
    answer: OriginAnswer,
    order: readonly string[],
    request: OriginRequest,
    readBack: (start: number, end: number) => Promise<Uint8Array>,
  ): AsyncIterable<Uint8Array> {
    const { signal } = request
    return continueBody(answer, {
      candidates: (broken) => {
        const next = order.indexOf(broken) + 1
        const rotated = [...order.slice(next), ...order.slice(0, next)]
        return {
          route: this.order(rotated.filter((id) => id !== broken)),
          alone: order.every((id) => id === broken),
          // What a client of a generic path says is for the origin of that path alone.
          beyond: request.mode === 'media' ? this.#others([...order, broken]) : [],
        }
      },
      ask: async (id, range) => {
        const resumed = this.#sendable({ ...request, headers: resumeFields(request.headers ?? [], range) })
        const judged = await this.#ask(id, resumed, (status) => status === 206 || status === 200, [signal])
        return judged.outcome === 'ok' ? judged.answer : undefined
      },
      retry: () => {
        const taken = this.#budget.take()
        if (!taken) this.#observer.onBudgetSpent()
        return taken
      },
      readBack,
      onContinued: this.#observer.onContinued,
      repeatable: request.method === 'GET' && !request.body,
      signal,
    })
  }

  /** From now on there are these. Known ones keep their connections and health; those that are gone end what they are at. */
  setOrigins(configs: readonly OriginConfig[]): void {
    const before = this.#origins
    const after = new Map<string, Origin>()
    for (const config of configs) {
      const known = before.get(config.id)
      after.set(config.id, known && known.url === config.url && known.ca === config.ca ? known : this.#origin(config))
    }
    this.#origins = after
    for (const [id, origin] of before) {
      if (after.get(id) === origin) continue
      this.#health.forget(id)
      this.#draining.add(origin)
      void origin.close().finally(() => this.#draining.delete(origin))
    }
    this.#prober?.watch([...after.keys()])
  }

  /** Ends everything that runs. */
  async close(): Promise<void> {
    this.#prober?.watch([])
    await Promise.all([...this.#origins.values(), ...this.#draining].map((origin) => origin.destroy()))
  }

  #origin(config: OriginConfig): Origin {
    const { connectTimeout, headersTimeout, bodyTimeout, connections, queueTimeout } = this.#options.fetch
    return new Origin({
      ...config,
      connections,
      queueTimeout,
      limits: { connect: connectTimeout, firstByte: headersTimeout, idle: bodyTimeout },
    })
  }

  #others(order: readonly string[]): string[] {
    return this.order([...this.#origins.keys()].filter((id) => !order.includes(id)))
  }

  #sendable(request: OriginRequest): Sendable {
    const { purpose, mode, method, path, body } = request
    return { purpose, mode, method, path, fields: requestFields(request, this.#options.edgeId), body: body && new RequestBody(body) }
  }

  async #ask(id: string, sendable: Sendable, wanted: (status: number) => boolean, signals: readonly AbortSignal[]): Promise<Judged> {
    const origin = this.#origins.get(id)
    // Gone with a change of the configuration since the order was made.
    if (!origin) return { outcome: 'unreachable' }
    this.#health.started(id)
    const startedAt = performance.now()
    const asked = await origin.ask(sendable, signals)
    const judged = this.#judge(origin, asked, wanted, signals)
    // Our own stop is no sign of an origin's health.
    if (signals.some((signal) => signal.aborted)) return judged
    const { outcome } = judged
    this.#observer.onAttempt({ origin: id, outcome }, performance.now() - startedAt)
    // A head proves little: an origin with a failing disk sends heads all day. So `ok` waits for the body.
    if (isFailure(outcome)) this.#failed(origin, asked.ok || asked.connected)
    else if (outcome === 'missing' || outcome === 'rejected') this.#succeeded(origin)
    return judged
  }

  #judge(origin: Origin, asked: Asked, wanted: (status: number) => boolean, signals: readonly AbortSignal[]): Judged {
    if (!asked.ok) return { outcome: asked.outcome }
    const outcome = outcomeOf(asked.answer.status, wanted)
    if (outcome === 'ok') return { outcome, answer: this.#watched(origin, asked.answer, signals) }
    asked.answer.discard()
    return { outcome }
  }

  /** The answer, whose origin did well when the body has come to its end, or is not wanted. */
  #watched(origin: Origin, answer: OriginAnswer, signals: readonly AbortSignal[]): OriginAnswer {
    let told = false
    const tell = (how: () => void) => {
      if (!told && !signals.some((signal) => signal.aborted)) how()
      told = true
    }
    const succeeded = () => tell(() => this.#succeeded(origin))
    const failed = () => tell(() => this.#failed(origin, true))
    async function* body() {
      try {
        yield* answer.body
      } catch (error) {
        failed()
        throw error
      }
      succeeded()
    }
    return {
      ...answer,
      body: body(),
      discard: () => {
        succeeded()
        answer.discard()
      },
    }
  }

  async #alive(id: string, path: string, signal: AbortSignal): Promise<boolean> {
    const request: OriginRequest = { purpose: 'probe', method: 'HEAD', path, mode: 'media', signal }
    const asked = await this.#origins.get(id)?.ask(this.#sendable(request), [signal])
    if (!asked?.ok) return false
    asked.answer.discard()
    return asked.answer.status < 500
  }

  #succeeded(origin: Origin): void {
    if (this.#current(origin) && this.#health.succeeded(origin.id)) this.#observer.onHealth(origin.id, true)
  }

  #failed(origin: Origin, connected: boolean): void {
    if (this.#current(origin) && this.#health.failed(origin.id, connected)) this.#observer.onHealth(origin.id, false)
  }

  /** Not one that was removed or replaced while it was asked. */
  #current(origin: Origin): boolean {
    return this.#origins.get(origin.id) === origin
  }
}
