import { MillraceError } from '@millrace/common/errors'
import { BODY_BROKEN } from '../cache/body.js'
import type { EntryMeta } from '../cache/entry-meta.js'
import { type CacheKey, cacheKey } from '../cache/key.js'
import { refreshed, validatorsOf } from '../cache/revalidate.js'
import { useOf, validatedAtEachUse } from '../cache/serving.js'
import type { CacheStatusDetails, ForwardReason } from '../http/cache-status.js'
import { fieldValue } from '../http/fields.js'
import type { Fill, FillRequest } from '../keeper/contract.js'
import type { OriginAnswer } from '../origin/contract.js'
import type { Decision } from '../phase.js'
import { refused } from '../refusal.js'
import { preconditions } from './answer.js'
import type { GenericRun, StoredEntry } from './contract.js'
import { Direct, noAnswer } from './direct.js'
import { genericKey } from './keys.js'
import type { LookupPlan } from './plan.js'
import { answerFrom, answerOnError, type FoundEntry, findEntry } from './stored.js'

/** How often a request asks anew after it met an answer that is another variant's, or one that is gone again. */
const MAX_ROUNDS = 4

/** A stored entry that its origin has confirmed while this request waited. `shared`: another request had asked for that. */
interface Confirmed {
  hash: string
  shared: boolean
}

type Step = { kind: 'answered'; decision: Decision } | { kind: 'again'; confirmed?: Confirmed }

/** One request that the cache may answer, or whose answer it may keep. */
export class Lookup {
  readonly #run: GenericRun
  readonly #planned: LookupPlan
  readonly #direct: Direct

  constructor(run: GenericRun, planned: LookupPlan) {
    this.#run = run
    this.#planned = planned
    this.#direct = new Direct(run)
  }

  async answer(): Promise<Decision> {
    const { deps, path } = this.#run
    const base = genericKey(path.origin, this.#planned.target)
    if (base === undefined) return this.#passBy({ fwd: 'bypass', detail: 'too-long' })
    if (deps.invalidations.doubtful(base.text)) return this.#passBy({ fwd: 'bypass', detail: 'doubtful' })
    let confirmed: Confirmed | undefined
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const { key, entry } = await findEntry(deps.entries, base, this.#planned.fillFields)
      if (key === undefined) return this.#passBy({ fwd: 'bypass', detail: 'vary' })
      const step = await this.#step({ key, entry }, base, confirmed)
      if (step.kind === 'answered') return step.decision
      confirmed = step.confirmed
    }
    return this.#passBy({ fwd: 'bypass', detail: 'not-now' })
  }

  async #step({ key, entry }: FoundEntry & { key: CacheKey }, base: CacheKey, confirmed: Confirmed | undefined): Promise<Step> {
    const { exchange, deps } = this.#run
    const { directives } = this.#planned
    let why: ForwardReason = directives.noStore ? 'request' : 'uri-miss'
    if (entry) {
      if (confirmed?.hash === key.hash) return answered(await this.#confirmed(key, entry, base, confirmed))
      const use = useOf(entry.meta, directives, deps.now())
      if (use === 'serve' || use === 'background') {
        // Nobody waits for it, and the keeper reports what becomes of it; that it is busy only means that somebody else has to ask.
        if (use === 'background') deps.background.revalidate(this.#fillRequest(key))
        return answered(await this.#entry(key, entry))
      }
      entry.body.close()
      why = use === 'forward' ? 'request' : 'stale'
    }
    // RFC 9111 §5.2.1.7: "a cache SHOULD either respond using a stored response [...] or respond with a 504".
    if (directives.onlyIfCached) throw refused(504, 'not-cached', 'nothing stored can answer this')
    // A HEAD alone is no reason to fetch a body; one that asks for nothing to be kept, neither (§5.2.1.5).
    if (exchange.method === 'HEAD' || directives.noStore) return answered(await this.#passed(key, { fwd: why }))
    const opened = await deps.keeper.open({ ...this.#fillRequest(key), takesAnswer: true })
    switch (opened.kind) {
      case 'fill':
        return this.#fill(key, opened, why)
      case 'stored':
        // What it is is told by its own head only: a marker may have come in its place.
        return { kind: 'again', ...(opened.revalidated && { confirmed: { hash: key.hash, shared: true } }) }
      default:
        return answered(await this.#passed(key, { fwd: 'bypass', detail: opened.kind === 'pass' ? opened.reason : 'not-now' }))
    }
  }

  async #fill(key: CacheKey, { fill, led }: { fill: Fill; led: boolean }, why: ForwardReason): Promise<Step> {
    const head = await fill.head
    switch (head.kind) {
      case 'stored':
        return { kind: 'again', confirmed: { hash: key.hash, shared: !led } }
      case 'ready': {
        const body = this.#run.deps.fillBody(fill, head, cacheKey(head.meta.key))
        if (!body) return { kind: 'again' }
        const { meta, cause } = head
        const decision: Decision = { phase: led ? 'miss' : 'coalesced', class: 'generic', tier: 'fill', origin: meta.origin, cause }
        const details: CacheStatusDetails = { fwdStatus: meta.status, stored: true, ...(why === 'request' && { fwd: why }) }
        return answered(await answerFrom(this.#run, this.#planned, { meta, body, decision, details }))
      }
      case 'pass':
        return answered(await this.#passed(key, { fwd: 'bypass', detail: head.reason }, led ? head.answer : undefined))
      case 'failed': {
        // Of no attempt: the keeper went away, and nothing is known of the origin.
        if (head.attempts.length === 0) return { kind: 'again' }
        const decision = await answerOnError(this.#run, this.#planned, key, undefined)
        if (!decision) throw noAnswer(head.attempts)
        return answered(decision)
      }
    }
  }

  /**
   * RFC 9111 §5.2.2.4: a response with no-cache "MUST NOT be used to satisfy any other request without forwarding it for validation": what
   * was confirmed to one request is not so to those who waited along.
   */
  async #confirmed(key: CacheKey, entry: StoredEntry, base: CacheKey, { shared }: Confirmed): Promise<Decision> {
    if (!shared || !validatedAtEachUse(entry.meta)) return this.#entry(key, entry, 'revalidated')
    entry.body.close()
    return this.#validate(base, entry.meta)
  }

  async #entry(key: CacheKey, { meta, body, tier }: StoredEntry, phase?: 'revalidated'): Promise<Decision> {
    const { deps, exchange } = this.#run
    const now = deps.now()
    const stale = meta.freshUntil <= now
    const decision: Decision = { phase: phase ?? (stale ? 'stale' : 'hit'), class: 'generic', tier, origin: meta.origin }
    const details: CacheStatusDetails = { ttlMs: meta.freshUntil - now, ...(phase && { fwdStatus: 304 }) }
    try {
      await answerFrom(this.#run, this.#planned, { meta, body, decision, details })
      deps.keeper.used(key.hash)
      return decision
    } catch (error) {
      const broken = error instanceof MillraceError && error.code === BODY_BROKEN
      if (!broken || exchange.started) throw error
      deps.keeper.damaged(key.hash, meta.id)
      return this.#passBy({ fwd: 'uri-miss', detail: 'damaged' })
    }
  }

  /** Asks the origin by the validators of an entry, in place of the client's, for this request alone. */
  async #validate(base: CacheKey, meta: EntryMeta): Promise<Decision> {
    const { deps } = this.#run
    const { fillFields, target, fields } = this.#planned
    const requestedAt = deps.now()
    const fetched = await this.#direct.ask(target, [...fillFields, ...validatorsOf(meta)])
    if (!fetched.ok) throw noAnswer(fetched.attempts)
    const { answer } = fetched
    if (answer.status !== 304) return this.#direct.send(answer, target, { fwd: 'stale', unsafe: false })
    answer.discard()
    const now = deps.now()
    const authorized = fieldValue(fields, 'authorization') !== undefined
    const current = refreshed(meta, answer.fields, now, { mode: 'generic', authorized }, { whileRevalidate: 0, ifError: 0 }, requestedAt)
    const { entry } = current ? await findEntry(deps.entries, base, fillFields) : { entry: undefined }
    if (!current || entry?.meta.id !== meta.id) {
      entry?.body.close()
      return this.#passBy({ fwd: 'stale' })
    }
    const { body, tier } = entry
    const decision: Decision = { phase: 'revalidated', class: 'generic', tier, origin: meta.origin }
    return answerFrom(this.#run, this.#planned, {
      meta: current,
      body,
      decision,
      details: { fwdStatus: 304, ttlMs: current.freshUntil - now },
    })
  }

  /**
   * Not by way of a fill: it is not to be stored, or not worth one. `here` is the answer that said so, for the request that led the fill;
   * others fetch their own.
   */
  async #passed(key: CacheKey, how: CacheStatusDetails, here?: OriginAnswer): Promise<Decision> {
    const { fields, target } = this.#planned
    // What is here answers a request for the whole, without conditions.
    const asked = fieldValue(fields, 'range') !== undefined || Object.values(preconditions(fields)).some((it) => it !== undefined)
    const usable = here && !(asked && here.status < 300) ? here : undefined
    if (usable === undefined) here?.discard()
    const fetched = usable ? { ok: true as const, answer: usable } : await this.#direct.ask(target, fields)
    if (!fetched.ok || fetched.answer.status >= 500) {
      const decision = await answerOnError(this.#run, this.#planned, key, fetched.ok ? fetched.answer.status : undefined)
      if (decision) {
        if (fetched.ok) fetched.answer.discard()
        return decision
      }
      if (!fetched.ok) throw noAnswer(fetched.attempts)
    }
    return this.#direct.send(fetched.answer, target, { ...how, unsafe: false })
  }

  /** A request that could have been answered from the cache, past it. */
  #passBy(details: CacheStatusDetails): Promise<Decision> {
    // §5.2.1.7, as above.
    if (this.#planned.directives.onlyIfCached) throw refused(504, 'not-cached', 'nothing stored can answer this')
    return this.#direct.forward(this.#planned.target, this.#planned.fields, { ...details, unsafe: false, hasBody: false })
  }

  #fillRequest(key: CacheKey): FillRequest {
    const { path, trace } = this.#run
    const { target, fillFields } = this.#planned
    return {
      key,
      order: [path.origin],
      upstream: { mode: 'generic', path: target, headers: fillFields },
      ...(trace && { trace }),
    }
  }
}

function answered(decision: Decision): Step {
  return { kind: 'answered', decision }
}
