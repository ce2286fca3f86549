import { MillraceError } from '@millrace/common/errors'
import { BODY_BROKEN, type BodyReader } from '../cache/body.js'
import type { EntryMeta, FillMeta, HeaderField } from '../cache/entry-meta.js'
import { type CacheKey, cacheKey } from '../cache/key.js'
import { refreshed, validatorsOf } from '../cache/revalidate.js'
import { servesOnError, useOf } from '../cache/serving.js'
import type { CacheStatusDetails } from '../http/cache-status.js'
import type { Exchange } from '../http/exchange.js'
import { fieldValue } from '../http/fields.js'
import { head } from '../http/head.js'
import type { Sending } from '../http/send.js'
import type { BackgroundRevalidation } from '../keeper/background.js'
import type { Fill, FillHead, FillRequest, Keeper } from '../keeper/contract.js'
import type { Attempt, Fetched, OriginAnswer, OriginGroup } from '../origin/contract.js'
import type { Trace } from '../origin/trace.js'
import type { Decision, Tier } from '../phase.js'
import { refused } from '../refusal.js'
import { answerPassed, answerStored, preconditions } from './answer.js'
import type { GenericPath } from './config.js'
import { decisionFields } from './head.js'
import { genericKey, selectedKey, servesEverybody } from './keys.js'
import { matchPath } from './match.js'
import { invalidatedTargets, type Plan, plan } from './plan.js'

export interface GenericDependencies {
  edgeId: string
  keeper: Keeper
  background: BackgroundRevalidation
  /** Reads stored entries; undefined when there is none, or a purge covers it. */
  entries: { open(key: CacheKey): Promise<StoredEntry | undefined> }
  /** The body of a fill whose head is ready; undefined when its bytes are gone already. */
  fillBody: (fill: Fill, head: Extract<FillHead, { kind: 'ready' }>, key: CacheKey) => BodyReader | undefined
  origins: OriginGroup
  paths: readonly GenericPath[]
  /** Makes what is stored under these keys, and their variants, unusable. Resolves when no worker serves it any more. */
  invalidate: (keyTexts: readonly string[]) => Promise<void>
  sending: (exchange: Exchange) => Sending
  now: () => number
}

export interface StoredEntry {
  meta: EntryMeta
  body: BodyReader
  tier: Tier
}

/** How often a request asks anew after it met an answer that is another variant's, or one that is gone again. */
const MAX_ROUNDS = 4

type Lookup = Extract<Plan, { kind: 'lookup' }>

/**
 * Answers one request of a generic path (RFC 9111 as a shared cache, RFC 9110 §7.6 as a gateway).
 *
 * @throws MillraceError what the edge answers by itself: refusals, `origin-…` when no answer is to be had, `body-broken`
 */
export async function handleGeneric(
  exchange: Exchange,
  fields: readonly HeaderField[],
  path: GenericPath,
  dependencies: GenericDependencies,
  trace?: Trace,
): Promise<Decision> {
  const planned = plan({ method: exchange.method, path: exchange.path, query: exchange.query, fields }, path.prefix, dependencies.edgeId)
  const request = new GenericRequestRun(exchange, fields, path, dependencies, trace)
  switch (planned.kind) {
    case 'refuse':
      throw refused(planned.status, planned.code, planned.message)
    case 'options': {
      const decision: Decision = { phase: 'refused', class: 'generic', tier: 'edge' }
      exchange.decision = decision
      exchange.answerHead(head(204, decisionFields({ edgeId: dependencies.edgeId, decision })))
      return decision
    }
    case 'forward':
      return request.forward(planned.target, planned.fields, { fwd: planned.why, unsafe: planned.unsafe, hasBody: planned.hasBody })
    case 'lookup':
      return request.lookup(planned)
  }
}

class GenericRequestRun {
  readonly #exchange: Exchange
  readonly #fields: readonly HeaderField[]
  readonly #path: GenericPath
  readonly #deps: GenericDependencies
  readonly #trace: Trace | undefined
  readonly #abort = new AbortController()

  constructor(
    exchange: Exchange,
    fields: readonly HeaderField[],
    path: GenericPath,
    dependencies: GenericDependencies,
    trace: Trace | undefined,
  ) {
    this.#exchange = exchange
    this.#fields = fields
    this.#path = path
    this.#deps = dependencies
    this.#trace = trace
    exchange.onAborted(() => this.#abort.abort())
  }

  async lookup(planned: Lookup): Promise<Decision> {
    const base = genericKey(this.#path.origin, planned.target)
    if (base === undefined) return this.#passBy(planned, { fwd: 'bypass', detail: 'too-long' })
    let confirmed = false
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const { key, entry } = await this.#find(base, planned.fillFields)
      if (key === undefined) {
        entry?.body.close()
        return this.#passBy(planned, { fwd: 'bypass', detail: 'vary' })
      }
      const next = await this.#tryStored(planned, base, key, entry, confirmed)
      if (next.kind === 'answered') return next.decision
      const { fill, led } = next
      const head = await fill.head
      if (head.kind === 'stored') {
        confirmed = true
        continue
      }
      if (head.kind === 'ready') {
        const body = this.#deps.fillBody(fill, head, cacheKey(head.meta.key))
        if (body) return this.#answerFill(planned, body, head, led)
        continue
      }
      if (head.kind === 'pass')
        return this.#passed(planned, base, key, { fwd: 'bypass', detail: head.reason }, led ? head.answer : undefined)
      return this.#failed(planned, key, head.attempts)
    }
    return this.#passBy(planned, { fwd: 'bypass', detail: 'vary' })
  }

  /** What is stored for this request; without a key when it can't be told which variant it would be. Whoever gets an entry closes it. */
  async #find(base: CacheKey, fields: readonly HeaderField[]): Promise<{ key: CacheKey | undefined; entry: StoredEntry | undefined }> {
    const entry = await this.#deps.entries.open(base)
    if (entry === undefined) return { key: base, entry }
    if (entry.meta.varies === undefined) return { key: servesEverybody(entry.meta) ? base : undefined, entry }
    const key = selectedKey(base, entry.meta, fields)
    entry.body.close()
    return { key, entry: key && (await this.#deps.entries.open(key)) }
  }

  async #tryStored(
    planned: Lookup,
    base: CacheKey,
    key: CacheKey,
    entry: StoredEntry | undefined,
    confirmed: boolean,
  ): Promise<{ kind: 'answered'; decision: Decision } | { kind: 'fill'; fill: Fill; led: boolean }> {
    const { directives } = planned
    const answered = (decision: Decision) => ({ kind: 'answered' as const, decision })
    if (entry) {
      const use = confirmed ? 'serve' : useOf(entry.meta, directives, this.#deps.now())
      if (use === 'serve' || use === 'background') {
        if (use === 'background') this.#deps.background.revalidate(this.#fillRequest(planned, key))
        return answered(await this.#answerEntry(planned, key, entry, confirmed ? 'revalidated' : undefined))
      }
      entry.body.close()
      if (!directives.onlyIfCached && use === 'forward') return answered(await this.#validate(planned, base, entry.meta))
    }
    // RFC 9111 §5.2.1.7: "a cache SHOULD either respond using a stored response [...] or respond with a 504".
    if (directives.onlyIfCached) throw refused(504, 'not-cached', 'nothing stored can answer this')
    // A HEAD alone is no reason to fetch a body; one that asks for nothing to be kept, neither (§5.2.1.5).
    if (this.#exchange.method === 'HEAD' || directives.noStore) {
      const fwd = entry ? 'stale' : directives.noStore ? 'request' : 'uri-miss'
      return answered(await this.#passed(planned, base, key, { fwd }))
    }
    const opened = await this.#deps.keeper.open({ ...this.#fillRequest(planned, key), takesAnswer: true })
    switch (opened.kind) {
      case 'fill':
        return opened
      case 'stored': {
        const found = await this.#deps.entries.open(key)
        if (found) return answered(await this.#answerEntry(planned, key, found, opened.revalidated ? 'revalidated' : undefined))
        return answered(await this.#passBy(planned, { fwd: 'uri-miss' }))
      }
      default:
        return answered(
          await this.#passed(planned, base, key, { fwd: 'bypass', detail: opened.kind === 'pass' ? opened.reason : 'not-now' }),
        )
    }
  }

  async #answerEntry(planned: Lookup, key: CacheKey, entry: StoredEntry, phase?: 'revalidated'): Promise<Decision> {
    const { meta, body, tier } = entry
    const now = this.#deps.now()
    const stale = meta.freshUntil <= now
    const decision: Decision = { phase: phase ?? (stale ? 'stale' : 'hit'), class: 'generic', tier, origin: meta.origin }
    const details: CacheStatusDetails = { ttlMs: meta.freshUntil - now, ...(phase && { fwdStatus: 304 }) }
    try {
      await this.#answer(planned, meta, body, decision, details)
      this.#deps.keeper.used(key.hash)
      return decision
    } catch (error) {
      const broken = error instanceof MillraceError && error.code === BODY_BROKEN
      if (!broken || this.#exchange.started) throw error
      this.#deps.keeper.damaged(key.hash, meta.id)
      return this.#passBy(planned, { fwd: 'uri-miss', detail: 'damaged' })
    } finally {
      body.close()
    }
  }

  async #answerFill(planned: Lookup, body: BodyReader, head: Extract<FillHead, { kind: 'ready' }>, led: boolean): Promise<Decision> {
    const { meta, cause } = head
    const decision: Decision = { phase: led ? 'miss' : 'coalesced', class: 'generic', tier: 'fill', origin: meta.origin, cause }
    try {
      await this.#answer(planned, meta, body, decision, { fwdStatus: meta.status, stored: true })
      return decision
    } finally {
      body.close()
    }
  }

  #answer(planned: Lookup, meta: FillMeta, body: BodyReader, decision: Decision, details: CacheStatusDetails): Promise<void> {
    const said = { edgeId: this.#deps.edgeId, decision, details }
    return answerStored(this.#exchange, {
      meta,
      body,
      fields: planned.fields,
      said,
      now: this.#deps.now(),
      sending: this.#deps.sending(this.#exchange),
    })
  }

  /**
   * The request wants a fresh entry confirmed (no-cache, max-age, min-fresh): asked of the origin with the entry's validators, in place of
   * the client's.
   */
  async #validate(planned: Lookup, base: CacheKey, meta: EntryMeta): Promise<Decision> {
    const conditions = validatorsOf(meta)
    if (conditions.length === 0) return this.#passBy(planned, { fwd: 'request' }, { forgets: base })
    const fields = [...planned.fillFields, ...conditions]
    const answer = await this.#fetch(this.#exchange.method, planned.target, fields)
    if (answer.status !== 304) {
      if (answer.status < 500) await this.#deps.invalidate([base.text])
      return this.#send(answer, planned.target, { fwd: 'request', unsafe: false })
    }
    answer.discard()
    const now = this.#deps.now()
    const authorized = fieldValue(planned.fields, 'authorization') !== undefined
    const current = refreshed(meta, answer.fields, now, { mode: 'generic', authorized }, { whileRevalidate: 0, ifError: 0 })
    const { entry } = current ? await this.#find(base, planned.fillFields) : { entry: undefined }
    if (!current || !entry || entry.meta.id !== meta.id) {
      entry?.body.close()
      return this.#passBy(planned, { fwd: 'request' })
    }
    const decision: Decision = { phase: 'revalidated', class: 'generic', tier: entry.tier, origin: meta.origin }
    try {
      await this.#answer(planned, current, entry.body, decision, { fwd: 'request', fwdStatus: 304, ttlMs: current.freshUntil - now })
      return decision
    } finally {
      entry?.body.close()
    }
  }

  /**
   * Not by way of a fill: it is not to be stored, or not worth one. `here` is the answer that said so, for the request that led the fill;
   * others fetch their own.
   */
  async #passed(planned: Lookup, base: CacheKey, key: CacheKey, how: CacheStatusDetails, here?: OriginAnswer): Promise<Decision> {
    // What is here answers a request for the whole, without conditions.
    const asked =
      fieldValue(planned.fields, 'range') !== undefined || Object.values(preconditions(planned.fields)).some((it) => it !== undefined)
    const usable = here && !(asked && here.status < 300) ? here : undefined
    if (usable === undefined) here?.discard()
    const fetched = usable ? { ok: true as const, answer: usable } : await this.#ask(this.#exchange.method, planned.target, planned.fields)
    if (!fetched.ok || fetched.answer.status >= 500) {
      const decision = await this.#staleOnError(planned, key, fetched.ok ? fetched.answer.status : undefined)
      if (decision) {
        if (fetched.ok) fetched.answer.discard()
        return decision
      }
      if (!fetched.ok) throw noAnswer(fetched.attempts)
    } else if (how.detail === 'directive' || how.detail === 'no-lifetime') {
      // What is stored is older than this answer, which may not take its place.
      const older = await this.#deps.entries.open(key)
      older?.body.close()
      if (older) await this.#deps.invalidate([base.text])
    }
    return this.#send(fetched.answer, planned.target, { ...how, unsafe: false })
  }

  async #failed(planned: Lookup, key: CacheKey, attempts: Attempt[]): Promise<Decision> {
    const decision = await this.#staleOnError(planned, key, undefined)
    if (decision) return decision
    throw noAnswer(attempts)
  }

  /** RFC 5861 §4, and only as far as the origin allowed it. */
  async #staleOnError(planned: Lookup, key: CacheKey, fwdStatus: number | undefined): Promise<Decision | undefined> {
    const entry = await this.#deps.entries.open(key)
    if (!entry) return undefined
    const now = this.#deps.now()
    if (entry.meta.varies !== undefined || !servesOnError(entry.meta, now)) {
      entry?.body.close()
      return undefined
    }
    const decision: Decision = { phase: 'stale', class: 'generic', tier: entry.tier, origin: entry.meta.origin }
    const details = { fwd: 'stale' as const, ttlMs: entry.meta.freshUntil - now, ...(fwdStatus !== undefined && { fwdStatus }) }
    try {
      await this.#answer(planned, entry.meta, entry.body, decision, details)
      return decision
    } finally {
      entry?.body.close()
    }
  }

  /** A request that could have been answered from the cache, past it. */
  async #passBy(planned: Lookup, details: CacheStatusDetails, { forgets }: { forgets?: CacheKey } = {}): Promise<Decision> {
    const decision = await this.forward(planned.target, planned.fields, { ...details, unsafe: false, hasBody: false })
    if (forgets) await this.#deps.invalidate([forgets.text])
    return decision
  }

  /** Straight through. The body is taken over before anything is waited for. */
  async forward(
    target: string,
    fields: readonly HeaderField[],
    how: CacheStatusDetails & { unsafe: boolean; hasBody: boolean },
  ): Promise<Decision> {
    const { hasBody, ...rest } = how
    const body = hasBody ? this.#exchange.readBody() : undefined
    const answer = await this.#fetch(this.#exchange.method, target, fields, body)
    return this.#send(answer, target, rest)
  }

  async #send(answer: OriginAnswer, target: string, how: CacheStatusDetails & { unsafe: boolean }): Promise<Decision> {
    const { unsafe, ...details } = how
    // Before the answer, so that a client that saw it sees its effect.
    if (unsafe) await this.#invalidate(target, answer)
    const decision: Decision = { phase: 'bypass', class: 'generic', tier: 'origin', origin: answer.origin }
    const said = { edgeId: this.#deps.edgeId, decision, details: { ...details, fwdStatus: answer.status } }
    await answerPassed(this.#exchange, answer, said, this.#deps.sending(this.#exchange))
    return decision
  }

  async #invalidate(target: string, answer: OriginAnswer): Promise<void> {
    const texts: string[] = []
    for (const found of invalidatedTargets(target, fieldValue(this.#fields, 'host'), answer)) {
      const path = matchPath(this.#deps.paths, found.split('?', 1)[0]!)
      const key = path && genericKey(path.origin, found)
      if (key) texts.push(key.text)
    }
    if (texts.length > 0) await this.#deps.invalidate(texts)
  }

  async #fetch(method: string, path: string, headers: readonly HeaderField[], body?: AsyncIterable<Uint8Array>): Promise<OriginAnswer> {
    const fetched = await this.#ask(method, path, headers, body)
    if (fetched.ok) return fetched.answer
    throw noAnswer(fetched.attempts)
  }

  #ask(method: string, path: string, headers: readonly HeaderField[], body?: AsyncIterable<Uint8Array>): Promise<Fetched> {
    return this.#deps.origins.fetch([this.#path.origin], {
      purpose: 'pass',
      mode: 'generic',
      method,
      path,
      headers,
      ...(body && { body }),
      trace: this.#trace,
      signal: this.#abort.signal,
      // Whatever it answers is the answer.
      wanted: () => true,
    })
  }

  #fillRequest(planned: Lookup, key: CacheKey): FillRequest {
    return {
      key,
      order: [this.#path.origin],
      upstream: { mode: 'generic', path: planned.target, headers: planned.fillFields },
      ...(this.#trace && { trace: this.#trace }),
    }
  }
}

/** RFC 9110 §15.6.3, §15.6.5. */
function noAnswer(attempts: readonly Attempt[]): MillraceError {
  const timeout = attempts.at(-1)?.outcome === 'timeout'
  return new MillraceError(timeout ? 'the origin did not answer in time' : 'the origin cannot be reached', {
    code: timeout ? 'origin-timeout' : 'origin-unreachable',
    source: 'origin',
    retryable: true,
    status: timeout ? 504 : 502,
  })
}
