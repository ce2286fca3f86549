import { mediaClass } from '@millrace/common/contracts/media-url'
import { MillraceError } from '@millrace/common/errors'
import { answerMedia } from './answer-media.js'
import { answerPass } from './answer-pass.js'
import type { RouteGuard } from './auth/route-token.js'
import { BODY_BROKEN } from './cache/body-file.js'
import { cacheKey } from './cache/key.js'
import type { BufferPool } from './http/buffer-pool.js'
import { ALLOWED_METHODS, corsHeaders, preflightHeaders } from './http/cors.js'
import type { Exchange, HeaderList } from './http/exchange.js'
import { decisionHeaders, problemAnswer } from './http/headers.js'
import { parseTarget, type Target } from './http/target.js'
import { type Found, find } from './keeper/find.js'
import type { Keeper } from './keeper/keeper.js'
import { type Attempt, allMissing, exhausted } from './origin/fallback.js'
import type { Origins } from './origin/origins.js'
import type { Decision, RequestClass } from './phase.js'
import { refused } from './refusal.js'

export interface HandlerDependencies {
  keeper: Keeper
  origins: Origins
  guard: RouteGuard
  pool: BufferPool
  corsOrigin: string
  now: () => number
  /** Told of errors of the cache disk, none of which is an answer. */
  onFault: (operation: 'open' | 'read', error: unknown) => void
  /** Told once per request, when its answer is whole or given up. */
  onAnswered: (exchange: Exchange, decision: Decision, failure: unknown) => void
}

/** A fill that breaks before a client has seen a byte costs it another fill, by other origins first; then it goes past the cache. */
const MAX_FILLS = 2

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** The edge's whole behaviour towards a client: each request gets one answer and one decision. */
export function requestHandler(dependencies: HandlerDependencies): (exchange: Exchange) => void {
  const handler = new RequestHandler(dependencies)
  return (exchange) => void handler.handle(exchange)
}

class RequestHandler {
  readonly #deps: HandlerDependencies
  readonly #cors: HeaderList

  constructor(dependencies: HandlerDependencies) {
    this.#deps = dependencies
    this.#cors = corsHeaders(dependencies.corsOrigin)
  }

  /** Never rejects. */
  async handle(exchange: Exchange): Promise<void> {
    let decision: Decision = { phase: 'refused', class: 'none' }
    try {
      if (!METHODS.has(exchange.method)) {
        // Closed, because whatever body follows is not read.
        const error = refused(405, 'method-not-allowed', 'only GET, HEAD and OPTIONS')
        this.#problem(exchange, decision, error, { close: true, headers: [['allow', ALLOWED_METHODS]] })
      } else if (exchange.badFraming !== undefined) {
        this.#problem(exchange, decision, refused(400, 'bad-framing', exchange.badFraming), { close: true })
      } else if (exchange.method === 'OPTIONS') {
        exchange.answerHead({ status: 204, headers: this.#extra(decision, preflightHeaders()) })
      } else {
        const target = parseTarget(exchange.path)
        decision = { phase: 'refused', class: mediaClass(target.media) }
        this.#deps.guard.check(target)
        await this.#media(exchange, target, (made) => {
          decision = made
        })
      }
      this.#deps.onAnswered(exchange, decision, undefined)
    } catch (error) {
      // What the client did wrong, and the limits it ran into, are refusals; the rest is an error of ours or the origins'.
      const ours = !(error instanceof MillraceError) || (error.source !== 'client' && error.code !== 'edge-busy')
      if (ours && !exchange.started) decision = { phase: 'error', class: decision.class }
      if (exchange.started) exchange.cut()
      else this.#problem(exchange, decision, error)
      this.#deps.onAnswered(exchange, decision, ours ? error : undefined)
    }
  }

  async #media(exchange: Exchange, target: Target, decide: (decision: Decision) => void): Promise<void> {
    const { origins, keeper, pool, now, onFault } = this.#deps
    const media = mediaClass(target.media)
    const key = cacheKey(target.path)
    const broke: string[] = []
    for (;;) {
      const known = origins.order(target.route.origins)
      if (known.length === 0) throw refused(404, 'unknown-route', 'the route names no origin that this edge knows')
      const order = [...known.filter((origin) => !broke.includes(origin)), ...known.filter((origin) => broke.includes(origin))]
      const request = { key, media: target.media, order }
      const found: Found = broke.length < MAX_FILLS ? await find(keeper, request, onFault) : { kind: 'pass', order }
      if (found.kind === 'exhausted') return this.#exhausted(exchange, media, found.attempts, decide)
      if (found.kind === 'negative') return this.#missing(exchange, { phase: 'negative', class: media }, decide)
      if (found.kind === 'pass') {
        const decisionOf = (origin: string): Decision => ({ phase: 'bypass', class: media, origin })
        const passed = await answerPass(exchange, origins, found.order, key.path, (origin) => this.#extra(decisionOf(origin)))
        if (passed.kind === 'exhausted') return this.#exhausted(exchange, media, passed.attempts, decide)
        return decide(passed.kind === 'answered' ? decisionOf(passed.origin) : { phase: 'bypass', class: media })
      }
      const decision: Decision = { phase: found.phase, class: media, origin: found.meta.origin }
      try {
        await answerMedia(exchange, { meta: found.meta, body: found.body, extra: this.#extra(decision), now: now(), pool })
        return decide(decision)
      } catch (error) {
        const bodyBroke = error instanceof MillraceError && error.code === BODY_BROKEN
        if (bodyBroke && error.source === 'disk') onFault('read', error)
        if (bodyBroke && !exchange.started) {
          broke.push(found.meta.origin)
          continue
        }
        if (exchange.started) decide(decision)
        throw error
      } finally {
        await found.body.close()
      }
    }
  }

  #exhausted(exchange: Exchange, media: RequestClass, attempts: Attempt[], decide: (decision: Decision) => void): void {
    if (allMissing(attempts)) this.#missing(exchange, { phase: 'miss', class: media }, decide)
    else throw exhausted(attempts)
  }

  #missing(exchange: Exchange, decision: Decision, decide: (decision: Decision) => void): void {
    decide(decision)
    this.#problem(exchange, decision, refused(404, 'not-found', 'no origin has this'))
  }

  #problem(exchange: Exchange, decision: Decision, error: unknown, options: { close?: boolean; headers?: HeaderList } = {}): void {
    const { head, body } = problemAnswer(error, this.#extra(decision, options.headers))
    exchange.answer(head, body, { close: options.close === true })
  }

  #extra(decision: Decision, further: HeaderList = []): HeaderList {
    return [...decisionHeaders(decision), ...this.#cors, ...further]
  }
}
