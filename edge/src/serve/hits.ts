import { type EntryMeta, headerOf } from '../cache/entry-meta.js'
import { acceptedCoding, encode, isCompressible } from '../entries/coding.js'
import type { OpenEntry } from '../entries/open-entry.js'
import type { OpenFiles } from '../entries/open-files.js'
import type { PreparedHead } from '../entries/prepared-head.js'
import type { RamLoader } from '../entries/ram-loader.js'
import type { RamEntry, RamTier } from '../entries/ram-tier.js'
import type { Exchange, ResponseHead } from '../http/exchange.js'
import { type Sending, sendBytes, sendPieces } from '../http/send.js'
import type { Decision, RequestClass } from '../phase.js'
import type { PurgeView } from '../purge/contract.js'
import { blocksKey } from '../purge/key-scope.js'
import type { AnswerHeads } from './answer-head.js'
import { isPlain, type Plan, planAnswer } from './plan.js'

export interface HitsDependencies {
  ram: RamTier
  loader: RamLoader
  files: OpenFiles
  purges: PurgeView
  heads: AnswerHeads
  /** Tells the keeper of a use. */
  used: (hash: string) => void
  compress: boolean
  boundary: () => string
  onError: (error: unknown) => void
}

/** What a hit of each class and tier is, made once: a hit then allocates no decision. */
type HitDecisions = Record<'ram' | 'disk', Map<string, Decision>>

/** Serves what is stored and fresh, from RAM or from an open file. */
export class Hits {
  readonly #deps: HitsDependencies
  readonly #decisions: HitDecisions = { ram: new Map(), disk: new Map() }

  constructor(dependencies: HitsDependencies) {
    this.#deps = dependencies
  }

  /** The RAM entry, when it is there, fresh and not purged. */
  ram(hash: string, now: number): RamEntry | undefined {
    const entry = this.#deps.ram.peek(hash)
    if (entry === undefined || entry.meta.freshUntil <= now) return undefined
    const { purges } = this.#deps
    if (entry.checkedGeneration !== purges.generation) {
      if (purges.covers(entry.meta) || blocksKey(purges, entry.meta.key)) {
        this.#deps.ram.forget(hash)
        return undefined
      }
      entry.checkedGeneration = purges.generation
    }
    return entry
  }

  /**
   * Answers at once, or goes on by itself.
   *
   * @param sending where transfers are paced or watched, and for whoever asks for several ranges (`severalRanges`)
   */
  answerRam(exchange: Exchange, entry: RamEntry, name: RequestClass, now: number, sending?: Sending): void | Promise<void> {
    const second = Math.floor(now / 1000)
    if (this.#deps.ram.count(entry, second)) this.#deps.used(entry.hash)
    exchange.decision = this.decision('ram', name, entry.meta.origin)
    const { headers } = exchange
    let { head, body } = entry as { head: PreparedHead; body: Buffer }
    if (headers.acceptEncoding !== undefined && this.#deps.compress && headers.range === undefined) {
      const coded = this.#coded(entry, headers.acceptEncoding)
      if (coded) ({ head, body } = coded)
    }
    const piecewise = sending !== undefined && (sending.pace !== undefined || sending.onRefused !== undefined)
    if (exchange.method === 'GET' && isPlain(headers) && body.length > 0 && !piecewise) return exchange.sendWhole(head.hit(now), body)
    const plan = this.plan(exchange, { ...entry.meta, length: body.length }, head)
    if (!this.answerPlan(exchange, plan, head, now) && plan.kind === 'send') {
      const answer = this.headOf(plan, head, now)
      if (plan.total === 0) return exchange.answer(answer, '')
      const pieces = plan.pieces.map((piece) => (piece instanceof Uint8Array ? piece : body.subarray(piece.start, piece.end)))
      if (sending && (piecewise || pieces.length > 1)) return sendBytes(exchange, answer, pieces, plan.total, sending)
      exchange.sendWhole(answer, pieces[0]!)
    }
  }

  /** Resolves when the answer is whole or given up. @throws MillraceError `body-broken` */
  async answerFile(exchange: Exchange, entry: OpenEntry, name: RequestClass, now: number, sending: Sending): Promise<void> {
    const second = Math.floor(now / 1000)
    if (entry.countedAt !== second) {
      entry.countedAt = second
      this.#deps.used(entry.hash)
    }
    entry.uses++
    exchange.decision = this.decision('disk', name, entry.meta.origin)
    // Its bytes are here and as they were just found; after this turn they may have been replaced.
    if (entry.whole) this.#deps.loader.served(entry)
    const plan = this.plan(exchange, entry.meta, entry.head)
    if (!this.answerPlan(exchange, plan, entry.head, now) && plan.kind === 'send') {
      const answer = this.headOf(plan, entry.head, now)
      if (plan.total === 0) exchange.answer(answer, '')
      else {
        const body = this.#deps.files.body(entry)
        try {
          await sendPieces(exchange, answer, body, plan.pieces, plan.total, sending)
        } finally {
          body.close()
        }
      }
    }
    if (!entry.whole) this.#deps.loader.served(entry)
  }

  plan(exchange: Exchange, meta: EntryMeta, head: { etag: string | undefined; lastModified: string | undefined }): Plan {
    if (isPlain(exchange.headers)) return whole(meta.length)
    const { etag, lastModified } = head
    const representation = { etag, lastModified, receivedAt: meta.bornAt, length: meta.length, contentType: headerOf(meta, 'content-type') }
    return planAnswer(exchange.method, exchange.headers, representation, this.#deps.boundary)
  }

  /** Answers a plan that needs no body. @returns whether it did */
  answerPlan(exchange: Exchange, plan: Plan, head: PreparedHead, now: number): boolean {
    if (plan.kind === 'not-modified') exchange.answerHead(head.hit304(now))
    else if (plan.kind === 'unsatisfiable') exchange.answer(head.hitWith(416, now, plan.fields), '')
    else if (exchange.method === 'HEAD') exchange.answerHead(this.headOf(plan, head, now), plan.total)
    else return false
    return true
  }

  headOf(plan: Extract<Plan, { kind: 'send' }>, head: PreparedHead, now: number): ResponseHead {
    if (plan.status === 200) return head.hit(now)
    return head.hitWith(plan.status, now, plan.fields)
  }

  decision(tier: 'ram' | 'disk', name: RequestClass, origin: string): Decision {
    const known = this.#decisions[tier]
    const key = `${name} ${origin}`
    let decision = known.get(key)
    if (!decision) {
      decision = { phase: 'hit', class: name, tier, origin }
      known.set(key, decision)
    }
    return decision
  }

  /** The coded body, where the client takes one; made behind the scenes when it isn't there yet. */
  #coded(entry: RamEntry, accept: string): { head: PreparedHead; body: Buffer } | undefined {
    if (!isCompressible(entry.meta)) return undefined
    const coding = acceptedCoding(accept)
    if (!coding) return undefined
    entry.codings ??= {}
    const coded = entry.codings[coding]
    if (typeof coded === 'object') return coded
    if (coded === undefined) {
      const { codings } = entry
      codings[coding] = 'making'
      encode(entry, coding, this.#deps.heads.context).then(
        (made) => {
          codings[coding] = made ?? false
          this.#deps.ram.resized(entry)
        },
        (error: unknown) => {
          codings[coding] = false
          this.#deps.onError(error)
        },
      )
    }
    return undefined
  }
}

function whole(length: number): Plan {
  return { kind: 'send', status: 200, fields: [], pieces: [{ start: 0, end: length }], total: length }
}
