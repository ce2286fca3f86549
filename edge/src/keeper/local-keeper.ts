import { LRUCache } from 'lru-cache'
import type { EntryMeta } from '../cache/entry-meta.js'
import { type CacheKey, cacheKey } from '../cache/key.js'
import type { CacheStore } from '../cache/store.js'
import { uniqueNames } from '../cache/unique-names.js'
import { blocksKey } from '../purge/key-scope.js'
import { videoDeleted } from '../refusal.js'
import type { FillRequest, Keeper, MissCause, Opened, PassReason } from './contract.js'
import { type FillDependencies, FillRun } from './fill.js'
import type { FillOutcome } from './fill-outcome.js'
import { FillView } from './fill-view.js'
import { Flights } from './flights.js'
import { GuardedStore } from './guarded-store.js'
import { MemoryBudget } from './memory.js'
import { NegativeCache } from './negative.js'
import { PrefetchBudget, type PrefetchLimits, type PrefetchOutcome } from './prefetch-budget.js'
import { selectHead, sharedHead } from './selection.js'
import { VariantShelves } from './variants.js'

export interface LocalKeeperOptions {
  maxFills: number
  maxWaiters: number
  lockTimeoutMs: number
  negativeTtlMs: number
  /** What bodies that no disk takes may take together; 0 where requests are served by other processes, which are then told to pass. */
  memoryBytes: number
  prefetch: PrefetchLimits
  onFillEnded: (outcome: FillOutcome, ms: number, bytes: number, cause: MissCause) => void
  onPrefetch: (outcome: PrefetchOutcome) => void
}

export type LocalKeeperDependencies = Omit<FillDependencies, 'store' | 'memory' | 'shelves' | 'newId'> & { store: CacheStore }

/** How long a response that may not be stored is remembered as such, so that its viewers don't queue behind one another's fills. */
const PASS_TTL_MS = 10_000

/** In generic mode a newer fill may begin while older ones of its key still run. */
const MAX_FILLS_OF_KEY = 4

/** Bounds each thing that is remembered of keys. */
const MAX_REMEMBERED = 20_000

/** The keeper of its own process, and the heart of one that serves others. */
export class LocalKeeper implements Keeper {
  readonly #store: CacheStore
  /** For what goes on without it. */
  readonly #guarded: GuardedStore
  readonly #deps: FillDependencies
  readonly #options: LocalKeeperOptions
  readonly #flights: Flights<FillRun>
  readonly #negative: NegativeCache
  readonly #passing: LRUCache<string, PassReason>
  readonly #damaged = new LRUCache<string, true>({ max: MAX_REMEMBERED })
  /** What is being dropped because it is damaged: who asks for it meanwhile waits, to find it gone. */
  readonly #dropping = new Map<string, Promise<void>>()
  readonly #looks = new Map<string, Promise<EntryMeta | undefined>>()
  readonly #memory: MemoryBudget | undefined
  readonly #prefetches: PrefetchBudget

  constructor(dependencies: LocalKeeperDependencies, options: LocalKeeperOptions) {
    const { store, purges, now } = dependencies
    this.#memory = options.memoryBytes > 0 ? new MemoryBudget(options.memoryBytes) : undefined
    this.#store = store
    this.#guarded = new GuardedStore(store, dependencies.onFault)
    const newId = uniqueNames(16)
    this.#deps = {
      ...dependencies,
      newId,
      store: this.#guarded,
      memory: this.#memory,
      shelves: new VariantShelves({ store, purges, newId }),
    }
    this.#options = options
    this.#flights = new Flights(
      { maxFlights: options.maxFills, maxJoins: options.maxWaiters, lockTimeoutMs: options.lockTimeoutMs },
      // A fill that began before a purge may bring what was purged: it is for those who asked before.
      (fill) => fill.state !== 'broken' && !purges.covers(fill),
    )
    this.#negative = new NegativeCache(options.negativeTtlMs, now)
    this.#passing = new LRUCache({ max: MAX_REMEMBERED, ttl: PASS_TTL_MS, ttlResolution: 0, perf: { now } })
    this.#prefetches = new PrefetchBudget(options.prefetch, now)
  }

  get runningFills(): number {
    return this.#flights.size
  }

  /** Requests so far that joined another one's fill. */
  get coalesced(): number {
    return this.#flights.joined
  }

  /** What bodies in memory take. */
  get memoryBytes(): number {
    return this.#memory?.used ?? 0
  }

  async open(request: FillRequest): Promise<Opened> {
    const { hash } = request.key
    const dropping = this.#dropping.get(hash)
    if (dropping) await dropping
    const joined = this.#join(request)
    if (joined) return joined
    if (!this.#store.has(hash)) return this.#lead(request, this.#absent(hash))
    const entry = await this.#look(request.key)
    // Whoever looked at the same time may be ahead. From here to the flight nothing awaits, so that a key has one at most.
    return this.#join(request) ?? this.#found(request, entry)
  }

  mayHave(hash: string): boolean {
    return this.#store.has(hash)
  }

  /**
   * Whether anything of a resource in generic mode may be served, by this process or another: it is stored, or on its way. Its variants
   * are not, without the entry under its own key. What was evicted lately may still be open elsewhere, and what is on a disk that is out
   * comes back with it.
   *
   * @param keyText the resource's own key
   */
  mayServe(keyText: string): boolean {
    const { hash } = cacheKey(keyText)
    if (this.#store.has(hash) || this.#store.evicted(hash)) return true
    if (this.#store.stats().some((disk) => disk.state === 'out')) return true
    return this.#flights.count(({ key }) => key === keyText || key.startsWith(`${keyText} `)) > 0
  }

  used(hash: string): void {
    this.#store.used(hash)
  }

  damaged(hash: string, id: string): void {
    this.#damaged.set(hash, true)
    const dropping = this.#guarded.drop(hash, id).finally(() => {
      if (this.#dropping.get(hash) === dropping) this.#dropping.delete(hash)
    })
    this.#dropping.set(hash, dropping)
  }

  prefetch(request: FillRequest): void {
    this.#options.onPrefetch(this.#prefetch(request))
  }

  /** Resolves when the running fills have ended. */
  idle(): Promise<void> {
    return this.#flights.idle()
  }

  /** One look per key at a time: all that wait for it go on in the same turn, so the first one's flight is there for the others. */
  #look(key: CacheKey): Promise<EntryMeta | undefined> {
    let look = this.#looks.get(key.hash)
    if (!look) {
      look = this.#guarded.look(key).finally(() => this.#looks.delete(key.hash))
      this.#looks.set(key.hash, look)
    }
    return look
  }

  #join(request: FillRequest): Opened | undefined {
    const { hash } = request.key
    const running = this.#flights.peek(hash)
    if (!running || request.upstream.mode === 'media') return this.#flights.join(hash)
    const { told, response } = running
    if (told && !response) return undefined
    if (response && !this.#deps.policy.servesAsIs(response.meta, request.upstream.headers, this.#deps.now())) {
      // A fill for each request of what is never fresh, or for each reload of what is large, would only empty the disks of all else.
      const more = response.fresh && this.#flights.count(({ key }) => key === request.key.text) < MAX_FILLS_OF_KEY
      return more ? undefined : { kind: 'pass', reason: 'not-shared' }
    }
    const opened = this.#flights.join(hash)
    if (opened?.kind !== 'fill') return opened
    const leader = running.request
    const head = opened.fill.head.then((found) =>
      response ? selectHead(found, leader, request, this.#deps.variants) : sharedHead(found, leader, request, this.#deps),
    )
    return { ...opened, fill: new FillView(opened.fill, head) }
  }

  #found(request: FillRequest, entry: EntryMeta | undefined): Opened {
    const { purges, policy, now } = this.#deps
    const { key, upstream } = request
    if (!entry) return this.#lead(request, this.#absent(key.hash))
    if (purges.covers(entry)) return this.#lead(request, 'purged')
    const usable = upstream.mode === 'media' || entry.varies ? entry.freshUntil > now() : policy.servesAsIs(entry, upstream.headers, now())
    return usable ? { kind: 'stored', revalidated: false } : this.#lead(request, 'expired', entry)
  }

  #absent(hash: string): MissCause {
    if (this.#damaged.has(hash)) return 'damaged'
    return this.#store.evicted(hash) ? 'evicted' : 'cold'
  }

  /** @returns what is known of the key that makes a fill pointless. */
  #known({ key, order }: FillRequest): Opened | undefined {
    if (this.#negative.covers(key.hash, order)) return { kind: 'missing' }
    const reason = this.#passing.get(key.hash)
    if (reason) return { kind: 'pass', reason }
    // Nobody could read what is fetched now: the process that asks does better by itself.
    const noDisk = !this.#memory && this.#store.stats().every((disk) => disk.state === 'out')
    return noDisk ? { kind: 'pass', reason: 'not-now' } : undefined
  }

  #lead(request: FillRequest, cause: MissCause, stale?: EntryMeta): Opened {
    // What begins after the deletion would count as newer than it.
    if (blocksKey(this.#deps.purges, request.key.text)) throw videoDeleted()
    return this.#known(request) ?? this.#start(request, cause, stale)
  }

  #start(request: FillRequest, cause: MissCause, stale?: EntryMeta, onEnded?: (bytes: number) => void): Opened {
    const { hash } = request.key
    return this.#flights.lead(hash, () => {
      const startedAt = performance.now()
      this.#damaged.delete(hash)
      const fill = new FillRun(
        {
          request,
          stale,
          cause,
          onMissing: (origins) => this.#negative.add(hash, origins),
          onUncacheable: (reason) => {
            // That a request was authorized says nothing of the next one, which may not be.
            if (reason !== 'authorization') this.#passing.set(hash, reason)
          },
        },
        this.#deps,
      )
      const ended = fill.run().then((outcome) => {
        onEnded?.(fill.available)
        this.#options.onFillEnded(outcome, performance.now() - startedAt, fill.available, fill.cause)
      })
      return { fill, ended }
    })
  }

  #prefetch(request: FillRequest): PrefetchOutcome {
    const { hash } = request.key
    if (this.#store.has(hash)) return 'stored'
    // Half of the fills are for requests that somebody waits for.
    if (this.#flights.peek(hash) || this.#looks.has(hash) || this.#flights.size >= this.#options.maxFills / 2) return 'busy'
    if (blocksKey(this.#deps.purges, request.key.text) || this.#known(request)) return 'pointless'
    const hindrance = this.#prefetches.hindrance()
    if (hindrance) return hindrance
    this.#prefetches.started()
    this.#start(request, this.#absent(hash), undefined, (bytes) => this.#prefetches.ended(bytes))
    return 'started'
  }
}
