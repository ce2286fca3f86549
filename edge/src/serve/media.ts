import { notModified } from '@millrace/common/http/conditional'
import type { BodyReader } from '../cache/body.js'
import { type EntryMeta, type FillMeta, headerOf } from '../cache/entry-meta.js'
import type { CacheKey } from '../cache/key.js'
import { servesOnError, staleness } from '../cache/serving.js'
import type { OpenEntry } from '../entries/open-entry.js'
import type { OpenFiles } from '../entries/open-files.js'
import type { Exchange } from '../http/exchange.js'
import { type Sending, sendPieces, sendToEnd } from '../http/send.js'
import type { BackgroundRevalidation } from '../keeper/background.js'
import type { FillRequest, Keeper } from '../keeper/contract.js'
import type { FillFiles } from '../keeper/fill-files.js'
import { type FindDependencies, type Found, find } from '../keeper/find.js'
import { FollowedBody, type LosableBody } from '../keeper/followed-body.js'
import type { Attempt, OriginGroup } from '../origin/contract.js'
import { allMissing, exhausted } from '../origin/fallback.js'
import type { Trace } from '../origin/trace.js'
import type { Decision, RequestClass } from '../phase.js'
import type { PurgeView } from '../purge/contract.js'
import { isBroken, refused, videoDeleted } from '../refusal.js'
import type { AnswerHeads } from './answer-head.js'
import type { Hits } from './hits.js'
import { answerPass } from './pass.js'
import { planAnswer } from './plan.js'
import type { Resolved } from './resolve.js'

export interface MediaDependencies {
  keeper: Keeper
  background: BackgroundRevalidation
  /** For what the keeper's disks don't take now, and while it is away; where the keeper is another process. */
  fallback: Keeper | undefined
  origins: OriginGroup
  files: OpenFiles
  fillFiles: FillFiles
  hits: Hits
  heads: AnswerHeads
  purges: PurgeView
  boundary: () => string
  now: () => number
  onFault: (operation: 'open' | 'read', error: unknown) => void
}

/** Served as it is while it is revalidated. */
interface StaleEntry {
  kind: 'stale'
  entry: OpenEntry
}

/** A request follows entries that come and go, and fills that break before it has seen a byte; after so many rounds it goes past the cache. */
const MAX_ROUNDS = 4

/** Serves data paths of assets when RAM alone can't: from disk, from a fill, past the cache, or stale. */
export class Media {
  readonly #deps: MediaDependencies

  constructor(dependencies: MediaDependencies) {
    this.#deps = dependencies
  }

  /** @throws MillraceError: what the request is to be answered with, or cut for. */
  async answer(exchange: Exchange, resolved: Resolved, sending: Sending, trace: Trace): Promise<void> {
    const { origins, purges, hits, background, now } = this.#deps
    const { key, class: name, media } = resolved
    if (purges.blocks(media.videoId)) throw videoDeleted()
    const broke: string[] = []
    let hadStale = false
    let overtook = false
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const time = now()
      const inRam = hits.ram(key.hash, time)
      if (inRam) return hits.answerRam(exchange, inRam, name, time, sending)
      const known = origins.order(resolved.route.origins)
      if (known.length === 0) throw refused(404, 'unknown-route', 'the route names no origin that this edge knows')
      const order = [...known.filter((origin) => !broke.includes(origin)), ...known.filter((origin) => broke.includes(origin))]
      const request: FillRequest = { key, order, upstream: { mode: 'media', path: key.text }, trace }
      const entry = await this.#stored(key)
      const state = entry && staleness(entry.meta, time)
      if (state === 'if-error') hadStale = true
      let found: Found<OpenEntry> | StaleEntry
      if (entry && state === 'fresh') found = { kind: 'stored', entry, revalidated: false }
      else if (entry && state === 'while-revalidate') {
        // RFC 5861 §3: answered as it is, and revalidated behind the scenes.
        background.revalidate(request)
        found = { kind: 'stale', entry }
      } else found = await this.#find(request)
      switch (found.kind) {
        case 'stored':
        case 'stale':
        case 'body':
          try {
            return await this.#answerFound(exchange, found, name, sending)
          } catch (error) {
            // Its bytes are wrong or will not come. Whoever has seen none of them gets them from elsewhere.
            if (exchange.started || !isBroken(error)) throw error
            if (found.kind === 'body') broke.push(found.meta.origin)
            continue
          }
        case 'negative':
          return this.#missing(exchange, { phase: 'negative', class: name, tier: 'edge' })
        case 'exhausted':
          return await this.#exhausted(exchange, resolved, found.attempts, hadStale, sending)
        case 'pass': {
          const attempts = await this.#pass(exchange, found.order, resolved, sending, trace)
          if (!attempts) return
          // The fill that it didn't wait for may have had more luck.
          if (found.reason !== 'lock-timeout' || overtook) return await this.#exhausted(exchange, resolved, attempts, hadStale, sending)
          overtook = true
        }
      }
    }
    const attempts = await this.#pass(exchange, origins.order(resolved.route.origins), resolved, sending, trace)
    if (attempts) await this.#exhausted(exchange, resolved, attempts, hadStale, sending)
  }

  /** A body that another process fetches outlives that process. */
  async #find(request: FillRequest): Promise<Found<OpenEntry>> {
    const found = await this.#ask(request)
    if (!this.#deps.fallback || found.kind !== 'body') return found
    return { ...found, body: new FollowedBody(found, () => this.#again(request)) }
  }

  async #again(request: FillRequest): Promise<LosableBody | undefined> {
    const found = await this.#ask(request)
    if (found.kind === 'body') return found
    if (found.kind !== 'stored') return undefined
    return { meta: found.entry.meta, body: this.#deps.files.body(found.entry) }
  }

  /** Through the keeper; where that has no room now or is away, through this worker's own memory: one fetch per worker at least. */
  async #ask(request: FillRequest): Promise<Found<OpenEntry>> {
    const { keeper, fallback } = this.#deps
    const found = await find(keeper, request, this.#bodies(request.key))
    if (!fallback || found.kind !== 'pass' || found.reason !== 'not-now') return found
    return find(fallback, { ...request, order: found.order }, this.#bodies(request.key))
  }

  #bodies(key: CacheKey): FindDependencies<OpenEntry> {
    const { files, fillFiles } = this.#deps
    return {
      files: fillFiles,
      openFinal: async (id) => {
        files.forget(key.hash)
        const entry = await files.find(key)
        return entry?.meta.id === id ? files.body(entry) : undefined
      },
      // What this worker held of it from before is gone: it was told so before it was told of this.
      openStored: () => this.#stored(key),
    }
  }

  #answerFound(
    exchange: Exchange,
    found: Extract<Found<OpenEntry>, { kind: 'stored' | 'body' }> | StaleEntry,
    name: RequestClass,
    sending: Sending,
  ): Promise<void> {
    const { hits, files, now } = this.#deps
    if (found.kind === 'body') {
      const { led, cause, meta, body, stored } = found
      const decision: Decision = led
        ? { phase: 'miss', class: name, tier: 'fill', origin: meta.origin, cause, stored }
        : { phase: 'coalesced', class: name, tier: 'fill', origin: meta.origin }
      return this.#answerBody(exchange, meta, body, decision, sending)
    }
    const { entry } = found
    if (found.kind === 'stale') return this.#answerStale(exchange, entry, name, sending)
    if (!found.revalidated) return hits.answerFile(exchange, entry, name, now(), sending)
    const decision: Decision = { phase: 'revalidated', class: name, tier: 'disk', origin: entry.meta.origin }
    return this.#answerBody(exchange, entry.meta, files.body(entry), decision, sending)
  }

  /** The entry's open file, unless a purge covers it. */
  async #stored(key: CacheKey): Promise<OpenEntry | undefined> {
    const { files, purges, keeper, onFault } = this.#deps
    if (keeper.mayHave?.(key.hash) === false) return undefined
    let entry: OpenEntry | undefined
    try {
      entry = files.get(key.hash) ?? (await files.find(key))
    } catch (error) {
      onFault('open', error)
      return undefined
    }
    return entry && !purges.covers(entry.meta) ? entry : undefined
  }

  async #answerStale(exchange: Exchange, entry: OpenEntry, name: RequestClass, sending: Sending): Promise<void> {
    const decision: Decision = { phase: 'stale', class: name, tier: 'disk', origin: entry.meta.origin }
    await this.#answerBody(exchange, entry.meta, this.#deps.files.body(entry), decision, sending)
    this.#deps.keeper.used(entry.hash)
  }

  /** Closes `body`. */
  async #answerBody(exchange: Exchange, meta: EntryMeta | FillMeta, body: BodyReader, decision: Decision, sending: Sending): Promise<void> {
    const { heads, now, boundary } = this.#deps
    exchange.decision = decision
    try {
      const time = now()
      const validators = { etag: headerOf(meta, 'etag'), lastModified: headerOf(meta, 'last-modified'), receivedAt: meta.bornAt }
      if (meta.length === undefined) {
        if (notModified(exchange.headers, validators)) return exchange.answerHead(heads.entry(304, meta, time, decision))
        // A range of what has no length yet can't be written as Content-Range; the whole is always right (RFC 9110 §14.2).
        const head = heads.entry(meta.status, meta, time, decision)
        return exchange.method === 'HEAD' ? exchange.answerHead(head) : await sendToEnd(exchange, head, body, sending)
      }
      const representation = { ...validators, length: meta.length, contentType: headerOf(meta, 'content-type') }
      const plan = planAnswer(exchange.method, exchange.headers, representation, boundary)
      if (plan.kind === 'not-modified') return exchange.answerHead(heads.entry(304, meta, time, decision))
      if (plan.kind === 'unsatisfiable') return exchange.answer(heads.entry(416, meta, time, decision, plan.fields), '')
      const head = heads.entry(plan.status, meta, time, decision, plan.fields)
      if (exchange.method === 'HEAD') return exchange.answerHead(head, plan.total)
      if (plan.total === 0) return exchange.answer(head, '')
      await sendPieces(exchange, head, body, plan.pieces, plan.total, sending)
    } finally {
      body.close()
    }
  }

  /** @returns the attempts when no origin gave the bytes and nothing was sent */
  async #pass(
    exchange: Exchange,
    order: readonly string[],
    { key, class: name }: Resolved,
    sending: Sending,
    trace: Trace,
  ): Promise<Attempt[] | undefined> {
    const { origins, heads } = this.#deps
    const passed = await answerPass(exchange, { origins, heads, order, path: key.text, class: name, sending, trace })
    return passed.kind === 'exhausted' ? passed.attempts : undefined
  }

  /** No origin gave it. RFC 5861 §4: a stale response may then be served, but not in the place of what all of them say is not there. */
  async #exhausted(
    exchange: Exchange,
    { key, class: name }: Resolved,
    attempts: readonly Attempt[],
    hadStale: boolean,
    sending: Sending,
  ): Promise<void> {
    if (allMissing(attempts)) return this.#missing(exchange, { phase: 'miss', class: name, tier: 'edge' })
    // The origins may have taken seconds, in which it may have been purged, replaced, or have left the window: what counts is what is there now.
    const stale = hadStale ? await this.#stored(key) : undefined
    if (!stale || !servesOnError(stale.meta, this.#deps.now())) throw exhausted(attempts)
    try {
      await this.#answerStale(exchange, stale, name, sending)
    } catch (error) {
      if (exchange.started || !isBroken(error)) throw error
      throw exhausted(attempts)
    }
  }

  #missing(exchange: Exchange, decision: Decision): void {
    exchange.decision = decision
    const { head, body } = this.#deps.heads.problem(refused(404, 'not-found', 'no origin has this'), decision)
    exchange.answer(head, body)
  }
}
