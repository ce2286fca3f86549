import { LRUCache } from 'lru-cache'
import type { CacheKey } from '../cache/key.js'
import type { CacheStore, StoredEntry } from '../cache/store.js'
import { type Attempt, allMissing } from '../origin/fallback.js'
import { type Fill, type FillDependencies, type FillOutcome, type FillRequest, startFill } from './fill.js'
import { NegativeCache } from './negative.js'
import { SingleFlight } from './single-flight.js'

/** Where a request's bytes are to be had. */
export type Opened =
  | { kind: 'stored'; entry: StoredEntry }
  | { kind: 'fill'; fill: Fill; led: boolean }
  /** The origins asked have said lately that there is no such thing. */
  | { kind: 'missing' }
  /** Lately found uncacheable, or the disk fails: fetch it yourself. */
  | { kind: 'pass' }

/**
 * Owns fills, order of use and byte budget. Requests know no more of it than this interface, so that it can be a process of its own when
 * there are several workers.
 */
export interface Keeper {
  /**
   * The stored response, else a fill: the running one of this key, or a new one by `order`.
   *
   * @throws MillraceError `edge-busy` (503)
   */
  open(request: FillRequest): Promise<Opened>
}

export interface LocalKeeperOptions {
  maxFills: number
  maxWaiters: number
  negativeTtlMs: number
  onFillEnded: (outcome: FillOutcome, ms: number) => void
}

/** How long a response that may not be stored is remembered as such, so that its viewers don't queue behind one another's fills. */
const PASS_TTL_MS = 10_000

/** How long a disk that failed is written to no more: each try may cost a viewer a broken transfer. What it holds is still served. */
const DISK_REST_MS = 10_000

/** The keeper of an edge with one worker. */
export class LocalKeeper implements Keeper {
  readonly #store: CacheStore
  readonly #deps: FillDependencies
  readonly #options: LocalKeeperOptions
  readonly #flights: SingleFlight<Fill>
  readonly #negative: NegativeCache
  readonly #passing: LRUCache<string, true>
  #diskRestsUntil = 0

  constructor(store: CacheStore, dependencies: Omit<FillDependencies, 'store'>, options: LocalKeeperOptions) {
    this.#store = store
    this.#deps = {
      ...dependencies,
      store,
      onFault: (operation, error) => {
        if (operation === 'create' || operation === 'write') this.#diskRestsUntil = dependencies.now() + DISK_REST_MS
        dependencies.onFault(operation, error)
      },
    }
    this.#options = options
    this.#flights = new SingleFlight({ maxFlights: options.maxFills, maxJoins: options.maxWaiters }, (fill) => fill.state === 'broken')
    this.#negative = new NegativeCache(options.negativeTtlMs, dependencies.now)
    this.#passing = new LRUCache({ max: 20_000, ttl: PASS_TTL_MS, ttlResolution: 0, perf: { now: dependencies.now } })
  }

  get runningFills(): number {
    return this.#flights.size
  }

  async open(request: FillRequest): Promise<Opened> {
    const { key, order } = request
    // A failed `open` corrects what `mayHave` says, so this ends. From the last `mayHave` to the flight nothing awaits: a fill that
    // ended meanwhile is seen as an entry, one that runs is joined.
    while (this.#store.mayHave(key)) {
      let entry: StoredEntry | undefined
      try {
        entry = await this.#store.open(key)
      } catch (error) {
        this.#deps.onFault('open', error)
        return { kind: 'pass' }
      }
      if (entry) return { kind: 'stored', entry }
    }
    if (this.#negative.covers(key.hash, order)) return { kind: 'missing' }
    if (this.#passing.has(key.hash) || this.#deps.now() < this.#diskRestsUntil) return { kind: 'pass' }
    const { value, led } = this.#flights.run(key.hash, () => this.#start(request))
    return { kind: 'fill', fill: value, led }
  }

  /** Resolves when the running fills have ended. */
  idle(): Promise<void> {
    return this.#flights.idle()
  }

  #start(request: FillRequest): { value: Fill; ended: Promise<void> } {
    const startedAt = performance.now()
    const { fill, ended } = startFill(request, this.#deps)
    return {
      value: fill,
      ended: ended.then(async (outcome) => {
        const head = await fill.head
        if (head.kind === 'failed') this.#remember404(request.key, head.attempts)
        const uncacheable = head.kind === 'pass' && head.reason !== 'not-now'
        if (uncacheable || outcome === 'outgrown') this.#passing.set(request.key.hash, true)
        this.#options.onFillEnded(outcome, performance.now() - startedAt)
      }),
    }
  }

  #remember404(key: CacheKey, attempts: readonly Attempt[]): void {
    if (allMissing(attempts))
      this.#negative.add(
        key.hash,
        attempts.map((attempt) => attempt.origin),
      )
  }
}
