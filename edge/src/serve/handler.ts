import { MillraceError } from '@millrace/common/errors'
import type { HeaderField } from '../cache/entry-meta.js'
import { ALLOWED_METHODS, preflightHeaders } from '../http/cors.js'
import type { Exchange } from '../http/exchange.js'
import type { Sending } from '../http/send.js'
import type { Trace } from '../origin/trace.js'
import type { Decision } from '../phase.js'
import { refused } from '../refusal.js'
import type { AnswerHeads } from './answer-head.js'
import type { Hits } from './hits.js'
import type { Media } from './media.js'
import { severalRanges } from './plan.js'
import type { Resolved, Resolver } from './resolve.js'

export interface HandlerDependencies {
  resolver: Resolver
  hits: Hits
  media: Media
  heads: AnswerHeads
  /** Takes what belongs to a generic path, within this turn. @returns whether it did */
  generic: (exchange: Exchange) => boolean
  /** Turns a client down that asks for too much. @returns the refusal, with fields of its answer */
  admit: (exchange: Exchange) => { error: MillraceError; fields: HeaderField[] } | undefined
  /** What one transfer may use, and how fast it may go; `undefined` pace for whatever fits one send. */
  sending: (exchange: Exchange) => Sending
  /** Whether transfers are paced or watched, so that even RAM hits have to go by `sending`. */
  paced: () => boolean
  /** Told of each refusal while the client is still there. */
  onRefused: (exchange: Exchange) => void
  trace: (exchange: Exchange) => Trace
  /** Told of each good media request before it is answered: CMCD, prefetch. */
  onMedia: ((exchange: Exchange, resolved: Resolved) => void) | undefined
  now: () => number
}

const REFUSED: Decision = { phase: 'refused', class: 'none', tier: 'edge' }

/** The edge's whole behaviour towards a client: each request gets one answer and one decision. Never throws. */
export class Handler {
  readonly #deps: HandlerDependencies

  constructor(dependencies: HandlerDependencies) {
    this.#deps = dependencies
  }

  handle(exchange: Exchange): void {
    const { hits, resolver, admit, paced, onMedia } = this.#deps
    const turnedDown = admit(exchange)
    if (turnedDown) {
      // What follows an end in doubt, or a body that nobody reads, must not run as the next request.
      const close = exchange.hasBody || exchange.badFraming !== undefined
      this.#refuse(exchange, turnedDown.error, REFUSED, { close, fields: turnedDown.fields })
      return
    }
    if (exchange.badFraming !== undefined) {
      this.#refuse(exchange, refused(400, 'bad-framing', exchange.badFraming), REFUSED, { close: true })
      return
    }
    // The way of nearly every request: a known URL whose entry is in RAM. Nothing here waits or allocates more than the answer needs.
    if (exchange.method === 'GET' && !exchange.hasBody && !paced() && !severalRanges(exchange.headers)) {
      const now = this.#deps.now()
      const resolved = resolver.peek(exchange.path, now)
      if (resolved) {
        const entry = hits.ram(resolved.key.hash, now)
        if (entry) {
          onMedia?.(exchange, resolved)
          hits.answerRam(exchange, entry, resolved.class, now)
          return
        }
      }
    }
    if (!this.#deps.generic(exchange)) this.#slow(exchange)
  }

  #slow(exchange: Exchange): void {
    const { method } = exchange
    if (method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS') {
      // Closed, because whatever body follows is not read.
      const fields: HeaderField[] = [['allow', ALLOWED_METHODS]]
      this.#refuse(exchange, refused(405, 'method-not-allowed', 'only GET, HEAD and OPTIONS'), REFUSED, { close: true, fields })
      return
    }
    if (exchange.hasBody) {
      // RFC 9112 §11.2: nothing here has a use for a body, and a body that nobody reads is where the next request could be hidden.
      this.#refuse(exchange, refused(400, 'bad-framing', 'a request body is not taken here'), REFUSED, { close: true })
      return
    }
    if (method === 'OPTIONS') {
      exchange.decision = REFUSED
      exchange.answerHead(this.#deps.heads.own(204, REFUSED, preflightHeaders()))
      return
    }
    this.#media(exchange).catch((error: unknown) => this.fail(exchange, error))
  }

  async #media(exchange: Exchange): Promise<void> {
    const { resolver, media, sending, trace, onMedia, now } = this.#deps
    const resolved = resolver.resolve(exchange.path, now())
    exchange.decision = { phase: 'refused', class: resolved.class, tier: 'edge' }
    onMedia?.(exchange, resolved)
    await media.answer(exchange, resolved, sending(exchange), trace(exchange))
  }

  /** Answers a request that failed, or cuts it. What the client did wrong, and the limits it ran into, are refusals; the rest is an error of ours or the origins'. */
  fail(exchange: Exchange, error: unknown): void {
    const refusal = error instanceof MillraceError && (error.source === 'client' || error.code === 'edge-busy')
    if (!refusal) exchange.failure = error
    const { class: name } = exchange.decision
    if (exchange.started) exchange.cut()
    // A body that was not read to its end is none to go on behind.
    else this.#refuse(exchange, error, { phase: refusal ? 'refused' : 'error', class: name, tier: 'edge' }, { close: exchange.hasBody })
  }

  #refuse(exchange: Exchange, error: unknown, decision: Decision, options: { close?: boolean; fields?: HeaderField[] } = {}): void {
    exchange.decision = decision
    this.#deps.onRefused(exchange)
    exchange.refusal = error instanceof MillraceError ? error.code : undefined
    const { head, body } = this.#deps.heads.problem(error, decision, options.fields)
    exchange.answer(head, body, { close: options.close === true })
  }
}
