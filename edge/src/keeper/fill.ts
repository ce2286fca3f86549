import { randomBytes } from 'node:crypto'
import { MillraceError } from '@millrace/common/errors'
import type { EntryMeta, FillMeta, HeaderField } from '../cache/entry-meta.js'
import type { StalePolicy } from '../cache/judge.js'
import type { CacheKey } from '../cache/key.js'
import type { CacheStore, EntryWriter } from '../cache/store.js'
import type { Attempt, Fetched, OriginAnswer, OriginGroup, OriginRequest } from '../origin/contract.js'
import type { PurgeView } from '../purge/contract.js'
import { BodyPipe } from './body-pipe.js'
import type { BodyLocation, Fill, FillHead, FillRequest, MissCause, PassReason } from './contract.js'
import type { FillOutcome } from './fill-outcome.js'
import { Growing } from './growing.js'
import { MemoryBody, type MemoryBudget } from './memory.js'
import type { Policy, Variants } from './policy-contract.js'
import { bodyBreak, conditionalFields, missingOnRoute, outcomeOfBreak, resourceOf, withContentType } from './response.js'
import { type Target, targetOf, type VariantShelves } from './variants.js'

/** What was done with the store when it failed; `fill` is a fault of the fill itself. */
export type FaultOperation = 'look' | 'create' | 'write' | 'commit' | 'rewrite' | 'drop' | 'fill'

export interface FillDependencies {
  origins: Pick<OriginGroup, 'fetch' | 'continued'>
  store: Pick<CacheStore, 'create' | 'rewrite' | 'drop'>
  policy: Policy
  variants: Variants
  shelves: VariantShelves
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
  /** Errors that are nobody's answer. */
  onFault: (operation: FaultOperation, error: unknown) => void
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

/** The purge generation of a fill is the one at its start: it may have asked its origin just before the purge. */
export class FillRun extends Growing implements Fill {
  readonly head: Promise<FillHead>
  /** Of the one that leads. */
  readonly request: FillRequest
  readonly key: string
  readonly generation: number
  /** The head's promise is settled. */
  told = false
  cause: MissCause
  moved: BodyLocation | undefined
  readonly #task: FillTask
  readonly #deps: FillDependencies
  #tellHead!: (head: FillHead) => void
  #memory: MemoryBody | undefined
  #target: Target | undefined
  #holds = 0
  #ended = false

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

  hold(): (() => void) | undefined {
    if (this.#ended && this.#holds === 0 && this.#memory) return undefined
    this.#holds++
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#holds--
      this.#freeUnheld()
    }
  }

  /** Never rejects; resolves when the entry is in the store or its file gone. */
  async run(): Promise<FillOutcome> {
    let outcome: FillOutcome
    try {
      outcome = (await this.#revalidate()) ?? (await this.#fetchWhole())
    } catch (error) {
      this.#deps.onFault('fill', error)
      outcome = this.#fail([])
    }
    // Requests that wait for the head come first; they hold what they read.
    setImmediate(() => {
      this.#ended = true
      this.#freeUnheld()
    })
    return outcome
  }

  /** @returns undefined when the stored entry is of no use and the whole has to be fetched. */
  async #revalidate(): Promise<FillOutcome | undefined> {
    const { stale, request } = this.#task
    const validators = stale ? this.#deps.policy.validatorsOf(stale) : []
    if (!stale || validators.length === 0) return undefined
    const fetched = await this.#fetch(validators, stale)
    if (!fetched.ok) return this.#exhausted(fetched.attempts)
    const { answer } = fetched
    if (answer.status !== 304) return this.#take(answer, fetched.attempts)
    answer.discard()
    const { policy, now, purges, store, fits, onFault } = this.#deps
    const meta = policy.refreshed(stale, answer.fields, now(), resourceOf(request.upstream), this.#deps.stale)
    // What a purge covered while the origin answered is not to be confirmed.
    if (!meta || !fits(meta) || purges.covers(meta)) return undefined
    try {
      if (!(await store.rewrite(request.key, meta))) return undefined
    } catch (error) {
      onFault('rewrite', error)
      return undefined
    }
    this.end('complete')
    this.#tell({ kind: 'stored', revalidated: true })
    return 'revalidated'
  }

  async #fetchWhole(): Promise<FillOutcome> {
    const fetched = await this.#fetch([])
    return fetched.ok ? this.#take(fetched.answer, fetched.attempts) : this.#exhausted(fetched.attempts)
  }

  #fetch(validators: readonly HeaderField[], stale?: EntryMeta): Promise<Fetched> {
    const { order, upstream } = this.request
    const media = upstream.mode === 'media'
    return this.#deps.origins.fetch(order, {
      ...this.#originRequest(validators),
      beyondRoute: media,
      wanted: (status) => {
        if (media) return status === 200 || (status === 304 && stale !== undefined)
        // RFC 9111 §4.3.3: on a 5xx a cache may act as if the origin had not answered, where it has something stale to serve.
        return status < 500 || stale === undefined || stale.staleIfError === 0
      },
    })
  }

  #originRequest(validators: readonly HeaderField[] = []): OriginRequest {
    const { upstream, trace } = this.request
    const own = upstream.mode === 'generic' ? conditionalFields(upstream.headers, validators) : validators
    return { purpose: 'fill', method: 'GET', path: upstream.path, mode: upstream.mode, headers: own, trace, signal: this.#deps.signal }
  }

  async #take(answer: OriginAnswer, attempts: readonly Attempt[]): Promise<FillOutcome> {
    const { policy, fits, maxObject, now } = this.#deps
    const { upstream } = this.request
    const verdict = policy.judge(answer, resourceOf(upstream), now(), maxObject, this.#deps.stale)
    if (!verdict.store) return this.#pass(answer, verdict.reason)
    const headers = policy.storableHeaders(answer.fields, upstream.mode)
    if (!headers) return this.#pass(answer, 'head-too-large')
    const target = this.#targetOf(answer)
    if (!target) return this.#pass(answer, 'vary')
    const { store: _, ...lifetimes } = verdict
    const meta: FillMeta = {
      id: randomBytes(8).toString('hex'),
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
    this.#target = target
    const writer = await this.#create(target.key, answer.length)
    if (!writer && !this.#deps.memory) return this.#pass(answer, 'not-now')
    if (answer.length !== undefined && answer.length <= FIRST_BYTES) return this.#gather(answer, attempts, meta, answer.length, writer)
    return this.#stream(answer, attempts, meta, writer)
  }

  async #gather(
    answer: OriginAnswer,
    attempts: readonly Attempt[],
    meta: FillMeta,
    length: number,
    writer: EntryWriter | undefined,
  ): Promise<FillOutcome> {
    const { origins, onFault } = this.#deps
    const whole = Buffer.alloc(length)
    let at = 0
    try {
      const readBack = async (start: number, end: number) => whole.subarray(start, end)
      for await (const chunk of origins.continued(answer, this.request.order, this.#originRequest(), readBack)) {
        if (at + chunk.length > length) throw bodyBreak('the origin sent more than it said')
        whole.set(chunk, at)
        at += chunk.length
      }
      if (at !== length) throw bodyBreak('the origin ended its body early')
    } catch (error) {
      await this.#discard(writer)
      return this.#broken(answer, attempts, error)
    }
    this.grow(length)
    this.end('complete')
    const location = writer?.location ?? { kind: 'memory', chunks: { view: (from) => whole.subarray(from) } }
    this.#tell({ kind: 'ready', meta, cause: this.cause, first: whole, location })
    if (!writer) return 'not-stored'
    try {
      if (length > 0) await writer.write(whole)
    } catch (error) {
      onFault('write', error)
      await this.#discard(writer)
      return 'not-stored'
    }
    return this.#commit(writer, { ...meta, length })
  }

  async #stream(answer: OriginAnswer, attempts: readonly Attempt[], meta: FillMeta, writer: EntryWriter | undefined): Promise<FillOutcome> {
    const { origins, memory: budget, onFault } = this.#deps
    if (!writer) this.#memory = budget && MemoryBody.reserve(budget, meta.length)
    const target = writer ?? this.#memory
    if (!target) return this.#pass(answer, 'not-now')
    const location: BodyLocation = target instanceof MemoryBody ? { kind: 'memory', chunks: target } : target.location
    const pipe = new BodyPipe(target, {
      length: meta.length,
      memory: budget,
      onWritten: (bytes) => this.grow(bytes),
      onMoved: (moved) => {
        this.#memory = pipe.memory
        this.moved = moved
      },
      onFault,
    })
    let total = 0
    try {
      const body = origins.continued(answer, this.request.order, this.#originRequest(), (start, end) => pipe.readBack(start, end))
      for await (const chunk of body) {
        if (chunk.length === 0) continue
        total += chunk.length
        this.#checkLength(total, meta.length)
        if (!this.told) this.#first(meta, location, chunk.subarray(0, FIRST_BYTES))
        await pipe.push(chunk)
      }
      if (meta.length !== undefined && total !== meta.length) throw bodyBreak('the origin ended its body early')
      await pipe.drained()
    } catch (error) {
      // What has come can still be read by whoever waits for it.
      await pipe.drained().catch((failure: unknown) => {
        if (failure !== error) onFault('write', failure)
      })
      return this.#brokenStream(answer, attempts, error, pipe)
    }
    if (!this.told) this.#first(meta, location, new Uint8Array(0))
    this.end('complete')
    return pipe.writer ? this.#commit(pipe.writer, { ...meta, length: total }) : 'not-stored'
  }

  #first(meta: FillMeta, location: BodyLocation, first: Uint8Array): void {
    this.grow(first.length)
    this.#tell({ kind: 'ready', meta, cause: this.cause, first, location })
  }

  async #brokenStream(answer: OriginAnswer, attempts: readonly Attempt[], error: unknown, pipe: BodyPipe): Promise<FillOutcome> {
    const outgrown = error instanceof MillraceError && error.code === 'too-large'
    if (outgrown) this.#task.onUncacheable('too-large')
    // Its memory is freed when its last reader has left.
    if (!this.told) return this.#discard(pipe.writer).then(() => this.#broken(answer, attempts, error))
    // First, so that a client that comes back at once doesn't find this fill still ending.
    await this.#discard(pipe.writer)
    this.end('broken')
    return outgrown ? 'outgrown' : 'broken'
  }

  async #commit(writer: EntryWriter, meta: EntryMeta): Promise<FillOutcome> {
    if (this.#deps.purges.covers(meta)) {
      await this.#discard(writer)
      return 'purged'
    }
    try {
      await writer.commit(meta)
      if (this.#target && this.#target.varies.length > 0) await this.#deps.shelves.added(this.#target, meta)
      return 'stored'
    } catch (error) {
      // The viewers have the bytes all the same.
      this.#deps.onFault('commit', error)
      return 'not-stored'
    }
  }

  /** An answer that one request asked for may be meant for it alone: it gets it where it can, and everybody else fetches their own. */
  async #pass(answer: OriginAnswer, reason: PassReason): Promise<FillOutcome> {
    const taken = this.request.takesAnswer === true
    if (!taken) answer.discard()
    const { stale } = this.#task
    if (reason !== 'not-now') {
      this.#task.onUncacheable(reason)
      // RFC 9111 §4.3.3: a full answer to a conditional request takes the place of what was stored; an error says nothing of it.
      if (stale && answer.status < 500) await this.#drop(stale)
    }
    this.end('broken')
    this.#tell(taken ? { kind: 'pass', reason, answer } : { kind: 'pass', reason })
    return 'passed'
  }

  async #exhausted(attempts: Attempt[]): Promise<FillOutcome> {
    const { request, stale } = this.#task
    const missing = missingOnRoute(request.order, attempts)
    if (missing) {
      this.#task.onMissing(missing)
      // RFC 9111 §4.3.3: a 404 is a full answer; what was stored is no more.
      if (stale) await this.#drop(stale)
    }
    const outcome = this.#fail(attempts)
    return missing ? 'missing' : outcome
  }

  /** The body broke before anyone heard of it: the origin counts as one that failed, and requests go on with their others. */
  #broken(answer: OriginAnswer, attempts: readonly Attempt[], error: unknown): FillOutcome {
    if (!(error instanceof MillraceError)) this.#deps.onFault('fill', error)
    const before = attempts.filter((attempt) => attempt.origin !== answer.origin)
    return this.#fail([...before, { origin: answer.origin, outcome: outcomeOfBreak(error) }])
  }

  #fail(attempts: Attempt[]): FillOutcome {
    this.end('broken')
    this.#tell({ kind: 'failed', attempts })
    return 'failed'
  }

  #checkLength(length: number, told: number | undefined): void {
    if (told !== undefined && length > told) throw bodyBreak('the origin sent more than it said')
    if (length > this.#deps.maxObject) {
      throw new MillraceError('a body of unknown length outgrew cache.maxObject', { code: 'too-large', source: 'origin', retryable: false })
    }
  }

  #targetOf(answer: OriginAnswer): Target | undefined {
    const { key, upstream } = this.request
    if (upstream.mode === 'media') return { key, varies: [], base: key }
    return targetOf(key, answer.headers.vary, upstream.headers, this.#deps.variants)
  }

  async #create(key: CacheKey, length: number | undefined): Promise<EntryWriter | undefined> {
    try {
      return await this.#deps.store.create(key, length)
    } catch (error) {
      this.#deps.onFault('create', error)
      return undefined
    }
  }

  async #discard(writer: EntryWriter | undefined): Promise<void> {
    try {
      await writer?.discard()
    } catch (error) {
      this.#deps.onFault('write', error)
    }
  }

  async #drop(entry: EntryMeta): Promise<void> {
    try {
      await this.#deps.store.drop(this.request.key.hash, entry.id)
    } catch (error) {
      this.#deps.onFault('drop', error)
    }
  }

  /** Does nothing when the head was told before. */
  #tell(head: FillHead): void {
    this.told = true
    this.#tellHead(head)
  }

  #freeUnheld(): void {
    if (this.#ended && this.#holds === 0) this.#memory?.free()
  }
}
