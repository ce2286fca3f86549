import { setImmediate as nextTurn } from 'node:timers/promises'
import { MillraceError } from '@millrace/common/errors'
import type { EntryMeta, FillMeta, HeaderField } from '../cache/entry-meta.js'
import type { StalePolicy } from '../cache/judge.js'
import type { EntryWriter } from '../cache/store.js'
import type { Attempt, Fetched, OriginAnswer, OriginGroup } from '../origin/contract.js'
import type { PurgeView } from '../purge/contract.js'
import { BodyPipe } from './body-pipe.js'
import type { BodyLocation, Fill, FillHead, FillRequest, MissCause, PassReason } from './contract.js'
import type { FillOutcome } from './fill-outcome.js'
import { Growing } from './growing.js'
import type { GuardedStore, OnFault } from './guarded-store.js'
import { HeldMemory } from './held-memory.js'
import { MemoryBody, type MemoryBudget } from './memory.js'
import { originRequest, wantedStatus } from './origin-request.js'
import type { Policy, Variants } from './policy-contract.js'
import { RecentChunks, WINDOW_BYTES } from './recent-chunks.js'
import { checkLength, gather, missingOnRoute, outcomeOfBreak, resourceOf, withContentType } from './response.js'
import { type Target, targetOf, type VariantShelves } from './variants.js'

export interface FillDependencies {
  origins: Pick<OriginGroup, 'fetch' | 'continued'>
  store: GuardedStore
  shelves: VariantShelves
  policy: Policy
  variants: Variants
  /** For media whose origin says nothing of it. */
  stale: StalePolicy
  purges: PurgeView
  /** For bodies that no disk takes; undefined where readers are in other processes: those are then told to pass. */
  memory: MemoryBudget | undefined
  /** Whether an entry's head can be stored at all. */
  fits: (meta: EntryMeta) => boolean
  /** In body bytes. */
  maxObject: number
  /** Unix milliseconds. */
  now: () => number
  /** Ends all fills. */
  signal: AbortSignal
  /** Names what a fill writes: 16 hex digits, never the same twice. */
  newId: () => string
  /** Errors that are nobody's answer. */
  onFault: OnFault
}

export interface FillTask {
  request: FillRequest
  /** The stale entry that this fill may confirm. */
  stale: EntryMeta | undefined
  cause: MissCause
  /** What requests that come later should know, told before anyone hears of it: no origin of the route has it. */
  onMissing: (origins: readonly string[]) => void
  /** Likewise: it may not be stored. */
  onUncacheable: (reason: PassReason) => void
}

/** The longest `first`; bodies up to here are gathered, so that their readers need no file. */
export const FIRST_BYTES = 65_536

/** Statuses of answers that tell of the resource itself: what was stored of it is no more. */
const DISPLACING: ReadonlySet<number> = new Set([200, 404, 410])

/** A response on its way into the store. */
interface Arrival {
  answer: OriginAnswer
  attempts: readonly Attempt[]
  meta: FillMeta
  target: Target
}

/** One transfer into the store, or one question whether a stale entry is still good. */
export class FillRun extends Growing implements Fill {
  readonly head: Promise<FillHead>
  /** Of the one that leads. */
  readonly request: FillRequest
  readonly key: string
  /** Of its start: it may have asked its origin just before a purge. */
  readonly generation: number
  /** The head's promise is settled. */
  told = false
  /** Once it is told: the response that comes, and whether it was fresh then. */
  response: { meta: FillMeta; fresh: boolean } | undefined
  cause: MissCause
  moved: BodyLocation | undefined
  lost = false
  /** Where readers share this process: what hands a body through without its file. */
  recent: RecentChunks | undefined
  readonly #task: FillTask
  readonly #deps: FillDependencies
  readonly #memory = new HeldMemory()
  readonly #unopened = new Set<() => Promise<void>>()
  #superseded = false
  #tellHead!: (head: FillHead) => void

  constructor(task: FillTask, dependencies: FillDependencies) {
    super()
    this.#task = task
    this.#deps = dependencies
    this.request = task.request
    this.key = task.request.key.text
    this.cause = task.cause
    this.generation = dependencies.purges.generation
    this.head = new Promise((resolve) => {
      this.#tellHead = resolve
    })
  }

  supersede(): void {
    this.#superseded = true
  }

  hold(): (() => void) | undefined {
    return this.#memory.hold()
  }

  beforeGone(open: () => Promise<void>): () => void {
    this.#unopened.add(open)
    return () => this.#unopened.delete(open)
  }

  /** Never rejects; resolves when the entry is in the store or its file gone. */
  async run(): Promise<FillOutcome> {
    try {
      return (await this.#revalidate()) ?? (await this.#fetchWhole())
    } catch (error) {
      // A request that can't be sent fails again, and is answered, when whoever made it sends it by itself.
      if (error instanceof MillraceError) return this.#end('broken', { kind: 'pass', reason: 'not-now' }, 'passed')
      this.#deps.onFault('fill', error)
      return this.#fail([])
    } finally {
      this.#memory.end()
    }
  }

  /** @returns undefined when the stored entry is of no use and the whole has to be fetched. */
  async #revalidate(): Promise<FillOutcome | undefined> {
    const { stale } = this.#task
    const { policy, now, purges, store, fits } = this.#deps
    const validators = stale ? policy.validatorsOf(stale) : []
    if (!stale || validators.length === 0) return undefined
    const resource = resourceOf(this.request.upstream)
    // Its origin has let others have it, but not those who say who they are: they get an answer of their own.
    if (policy.forbidsSharing(stale, [], resource)) return undefined
    const requestedAt = now()
    const fetched = await this.#fetch(validators, stale)
    if (!fetched.ok) return this.#exhausted(fetched.attempts)
    const { answer } = fetched
    if (answer.status !== 304) return this.#take(answer, fetched.attempts, requestedAt)
    answer.discard()
    const forbidden = policy.forbidsSharing(stale, answer.fields, resource)
    if (forbidden === 'directive') await store.drop(this.request.key.hash, stale.id)
    if (forbidden) return undefined
    const meta = policy.refreshed(stale, answer.fields, now(), resource, this.#deps.stale, requestedAt)
    // What a purge covered while the origin answered is not to be confirmed.
    if (!meta || !fits(meta) || purges.covers(meta)) return undefined
    if (!(await store.rewrite(this.request.key, meta))) return undefined
    return this.#end('complete', { kind: 'stored', revalidated: true }, 'revalidated')
  }

  async #fetchWhole(): Promise<FillOutcome> {
    const requestedAt = this.#deps.now()
    const fetched = await this.#fetch([], undefined)
    return fetched.ok ? this.#take(fetched.answer, fetched.attempts, requestedAt) : this.#exhausted(fetched.attempts)
  }

  #fetch(validators: readonly HeaderField[], stale: EntryMeta | undefined): Promise<Fetched> {
    const { origins, signal } = this.#deps
    const { order, upstream } = this.request
    return origins.fetch(order, {
      ...originRequest(this.request, validators, signal),
      beyondRoute: upstream.mode === 'media',
      wanted: wantedStatus(upstream, stale),
    })
  }

  async #take(answer: OriginAnswer, attempts: readonly Attempt[], requestedAt: number): Promise<FillOutcome> {
    const { policy, fits, maxObject, now, store, memory, variants } = this.#deps
    const { key, upstream } = this.request
    const judged = { status: answer.status, headers: answer.headers, length: answer.length, requestedAt }
    const verdict = policy.judge(judged, resourceOf(upstream), now(), maxObject, this.#deps.stale)
    if (!verdict.store) return this.#pass(answer, verdict.reason)
    const target = await targetOf(key, upstream, answer.headers.vary, variants, this.#deps.shelves)
    if (!target) return this.#pass(answer, 'vary')
    const headers = policy.storableHeaders(answer.fields, upstream.mode)
    if (!headers) return this.#pass(answer, 'head-too-large')
    const { store: _, ...lifetimes } = verdict
    const meta: FillMeta = {
      id: this.#deps.newId(),
      key: target.key.text,
      status: answer.status,
      headers: withContentType(headers, upstream),
      length: answer.length,
      origin: answer.origin,
      generation: this.generation,
      ...lifetimes,
    }
    if (!fits({ ...meta, length: meta.length ?? Number.MAX_SAFE_INTEGER })) return this.#pass(answer, 'head-too-large')
    // What was merely not here was asked for at an origin that doesn't have it: that is the news.
    const absent = this.cause === 'cold' || this.cause === 'evicted'
    if (absent && attempts[0]?.outcome === 'missing') this.cause = 'replica-missing'
    const writer = await store.create(target.key, answer.length)
    if (!writer && !memory) return this.#pass(answer, 'not-now')
    const arrival = { answer, attempts, meta, target }
    const small = answer.length !== undefined && answer.length <= FIRST_BYTES
    return small ? this.#gather(arrival, answer.length!, writer) : this.#stream(arrival, writer)
  }

  async #gather(arrival: Arrival, length: number, writer: EntryWriter | undefined): Promise<FillOutcome> {
    const { store } = this.#deps
    let whole: Buffer
    try {
      whole = await gather(length, (readBack) => this.#body(arrival.answer, readBack))
    } catch (error) {
      await store.discard(writer)
      return this.#brokenUnheard(arrival, error)
    }
    const { meta, target } = arrival
    this.grow(length)
    const location = writer?.location ?? { kind: 'memory', chunks: { view: (from) => whole.subarray(from) } }
    this.#end('complete', { kind: 'ready', meta, cause: this.cause, first: whole, location }, 'stored')
    if (!writer) return 'not-stored'
    // Those who wait have their bytes before the disk is busy.
    await nextTurn()
    return this.#commit(writer, { ...meta, length }, target, [whole])
  }

  async #stream(arrival: Arrival, writer: EntryWriter | undefined): Promise<FillOutcome> {
    const { memory: budget, onFault, maxObject } = this.#deps
    const { answer, meta, target } = arrival
    if (!writer) this.#memory.body = budget && MemoryBody.reserve(budget, meta.length)
    const sink = writer ?? this.#memory.body
    if (!sink) return this.#pass(answer, 'not-now')
    const location: BodyLocation = sink instanceof MemoryBody ? { kind: 'memory', chunks: sink } : sink.location
    if (budget && writer) this.recent = new RecentChunks()
    const { recent } = this
    const pipe = new BodyPipe(sink, {
      length: meta.length,
      memory: budget,
      onWritten: (bytes) => {
        recent?.written(bytes)
        this.grow(bytes)
      },
      onMoved: (body) => {
        this.#memory.body = body
        this.moved = { kind: 'memory', chunks: body }
      },
      onFault,
      holdBytes: recent ? WINDOW_BYTES : 0,
    })
    const ready = (first: Uint8Array) => {
      this.grow(first.length)
      this.#tell({ kind: 'ready', meta, cause: this.cause, first, location })
    }
    let total = 0
    try {
      for await (const chunk of this.#body(answer, (start, end) => pipe.readBack(start, end))) {
        if (chunk.length === 0) continue
        total += chunk.length
        checkLength(total, meta.length, maxObject)
        recent?.push(chunk)
        if (this.told) this.arrived()
        else {
          ready(chunk.subarray(0, FIRST_BYTES))
          // As above.
          await nextTurn()
        }
        await pipe.push(chunk)
      }
      checkLength(total, meta.length, maxObject, true)
      const held = writer && pipe.takeHeld()
      if (held) return this.#storeHeld(writer, { ...meta, length: total }, target, held, ready)
      await pipe.drained()
    } catch (error) {
      return this.#brokenStream(arrival, error, pipe)
    }
    if (!this.told) ready(new Uint8Array(0))
    this.end('complete')
    return pipe.writer ? this.#commit(pipe.writer, { ...meta, length: total }, target) : 'not-stored'
  }

  /** Whoever reads has all of it in memory: nobody waits for the disk. */
  async #storeHeld(writer: EntryWriter, meta: EntryMeta, target: Target, held: Uint8Array[], ready: (first: Uint8Array) => void) {
    if (!this.told) ready(new Uint8Array(0))
    this.grow(meta.length)
    this.end('complete')
    await nextTurn()
    const outcome = await this.#commit(writer, meta, target, held)
    if (outcome === 'stored') this.recent?.written(meta.length)
    return outcome
  }

  #body(answer: OriginAnswer, readBack: (start: number, end: number) => Promise<Uint8Array>): AsyncIterable<Uint8Array> {
    const { origins, signal } = this.#deps
    return origins.continued(answer, this.request.order, originRequest(this.request, [], signal), readBack)
  }

  async #brokenStream(arrival: Arrival, error: unknown, pipe: BodyPipe): Promise<FillOutcome> {
    // What has come can still be read by whoever waits for it.
    await pipe.settled()
    const outgrown = error instanceof MillraceError && error.code === 'too-large'
    if (outgrown) this.#task.onUncacheable('too-large')
    // First, so that a client that comes back at once doesn't find this fill still ending.
    await this.#deps.store.discard(pipe.writer)
    if (!this.told) return this.#brokenUnheard(arrival, error)
    if (!(error instanceof MillraceError) && error !== pipe.failure) this.#deps.onFault('fill', error)
    this.lost = error === pipe.failure
    this.end('broken')
    return outgrown ? 'outgrown' : 'broken'
  }

  /** The body broke before anyone had a byte of it: the origin counts as one that failed, and requests go on with their others. */
  #brokenUnheard({ answer, attempts }: Arrival, error: unknown): FillOutcome {
    if (!(error instanceof MillraceError)) this.#deps.onFault('fill', error)
    const before = attempts.filter((attempt) => attempt.origin !== answer.origin)
    return this.#fail([...before, { origin: answer.origin, outcome: outcomeOfBreak(error) }])
  }

  async #commit(writer: EntryWriter, meta: EntryMeta, target: Target, whole?: readonly Uint8Array[]): Promise<FillOutcome> {
    const { purges, store, shelves, onFault } = this.#deps
    const purged = purges.covers(meta)
    if (purged || this.#superseded) {
      // Viewers of this body see it to its end.
      await Promise.all([...this.#unopened].map((open) => open()))
      await store.discard(writer)
      return purged ? 'purged' : 'not-stored'
    }
    // The viewers have the bytes all the same.
    const stored = whole ? await store.commitWhole(writer, meta, whole) : await store.commit(writer, meta)
    if (!stored) return 'not-stored'
    try {
      await shelves.added(target, meta)
    } catch (error) {
      onFault('commit', error)
    }
    const { stale } = this.#task
    const asked = this.request.key.hash
    // It was asked for under a key that it has no more.
    if (stale && asked !== target.key.hash) await store.drop(asked, stale.id)
    return 'stored'
  }

  /** An answer that one request asked for may be meant for it alone: everybody else fetches their own. */
  async #pass(answer: OriginAnswer, reason: PassReason): Promise<FillOutcome> {
    const { stale } = this.#task
    const handed = this.request.takesAnswer === true
    if (!handed) answer.discard()
    if (reason !== 'not-now') {
      // What was fresh was only asked about because of this request's own fields, which others don't have.
      if (!stale || stale.freshUntil <= this.#deps.now()) this.#task.onUncacheable(reason)
      // RFC 9111 §4.3.3: a full answer to a conditional request may take the place of what was stored. Other statuses say something of the
      // request, or of the origin's state: by such ones anybody could empty the cache.
      const displaced = DISPLACING.has(answer.status) && reason !== 'authorization'
      if (stale && displaced) await this.#deps.store.drop(this.request.key.hash, stale.id)
    }
    return this.#end('broken', { kind: 'pass', reason, ...(handed && { answer }) }, 'passed')
  }

  async #exhausted(attempts: Attempt[]): Promise<FillOutcome> {
    const { stale } = this.#task
    const missing = missingOnRoute(this.request.order, attempts)
    if (missing) {
      this.#task.onMissing(missing)
      // RFC 9111 §4.3.3: a 404 is a full answer; what was stored is no more.
      if (stale) await this.#deps.store.drop(this.request.key.hash, stale.id)
    }
    const outcome = this.#fail(attempts)
    return missing ? 'missing' : outcome
  }

  #fail(attempts: Attempt[]): FillOutcome {
    return this.#end('broken', { kind: 'failed', attempts }, 'failed')
  }

  /** The state first, so that nobody joins what its requests were just told to be of no use. */
  #end(state: 'complete' | 'broken', head: FillHead, outcome: FillOutcome): FillOutcome {
    this.end(state)
    this.#tell(head)
    return outcome
  }

  /** The first one counts. */
  #tell(head: FillHead): void {
    this.told = true
    if (head.kind === 'ready') this.response = { meta: head.meta, fresh: head.meta.freshUntil > this.#deps.now() }
    this.#tellHead(head)
  }
}
