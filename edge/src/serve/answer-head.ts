import { CACHE_HEADER, ORIGIN_HEADER } from '@millrace/common/contracts/edge-api'
import { toProblem } from '@millrace/common/errors'
import type { EntryMeta, FillMeta, HeaderField } from '../cache/entry-meta.js'
import { varyFields } from '../entries/coding.js'
import { ageOf, type HeadContext, PreparedHead } from '../entries/prepared-head.js'
import { type CacheStatusDetails, cacheStatus } from '../http/cache-status.js'
import { corsHeaders } from '../http/cors.js'
import type { ResponseHead } from '../http/exchange.js'
import { renderFields, renderHead } from '../http/head.js'
import type { OriginAnswer } from '../origin/contract.js'
import type { Decision } from '../phase.js'

/** RFC 9110 §14.3: whole stored bodies are answered in parts on demand. */
const RANGES: readonly HeaderField[] = [['accept-ranges', 'bytes']]

/** Makes the heads of this edge's answers: what each carries beside the resource's own fields. */
export class AnswerHeads {
  readonly context: HeadContext
  readonly #edgeId: string
  readonly #cors: string
  readonly #compress: boolean

  constructor(edgeId: string, corsOrigin: string, compress: boolean) {
    this.#edgeId = edgeId
    this.#compress = compress
    this.#cors = renderFields(corsHeaders(corsOrigin))
    // RFC 9110 §7.6.3: an intermediary MUST send Via with each message that it forwards.
    const via = renderFields([['via', `1.1 ${edgeId}`]])
    this.context = {
      common: via + this.#cors,
      hit: (meta, ttlMs) => {
        const decision: Decision = { phase: 'hit', class: 'none', tier: 'ram', origin: meta.origin }
        return renderFields(this.#decision(decision, { ttlMs }))
      },
    }
  }

  prepare(meta: EntryMeta): PreparedHead {
    return new PreparedHead(meta, this.context, [...RANGES, ...(this.#compress ? varyFields(meta) : [])])
  }

  /** For a stored or growing representation that is no plain hit; `further` stand in the place of its own fields of the same name. */
  entry(status: number, meta: FillMeta | EntryMeta, now: number, decision: Decision, further: readonly HeaderField[] = []): ResponseHead {
    const left = status === 304 ? NOT_IN_304 : further.map(([name]) => name)
    const own = left.length === 0 ? meta.headers : meta.headers.filter(([name]) => !left.includes(name))
    const fields: HeaderField[] = [
      ...own,
      ...(status === 200 ? RANGES : []),
      ...(this.#compress ? varyFields(meta) : []),
      ['age', String(ageOf(meta, now))],
      ...this.#decision(decision, { ttlMs: meta.freshUntil - now, stored: decision.stored === true }),
      ...further,
    ]
    return renderHead(status, renderFields(fields) + this.context.common)
  }

  /** For an answer that passes through unstored: `fields` are the origin's end-to-end ones. */
  passed(status: number, answer: OriginAnswer, fields: readonly HeaderField[], decision: Decision): ResponseHead {
    const own = status === 304 ? fields.filter(([name]) => !NOT_IN_304.includes(name)) : fields
    const all = [...own, ...this.#decision(decision, { fwdStatus: answer.status })]
    return renderHead(status, renderFields(all) + this.context.common)
  }

  /** Of the edge's own making. */
  own(status: number, decision: Decision, fields: readonly (readonly [string, string])[] = []): ResponseHead {
    return renderHead(status, renderFields([...fields, ...this.#decision(decision, {})]) + this.#cors)
  }

  /** RFC 9457. Errors are never stored by anyone: the next request may fare better. */
  problem(error: unknown, decision: Decision, further: readonly HeaderField[] = []): { head: ResponseHead; body: string } {
    const { status, body } = toProblem(error)
    const fields: HeaderField[] = [['content-type', 'application/problem+json'], ['cache-control', 'no-store'], ...further]
    if (status === 503 && !further.some(([name]) => name === 'retry-after')) fields.push(['retry-after', '1'])
    return { head: this.own(status, decision, fields), body: `${JSON.stringify(body)}\n` }
  }

  #decision(decision: Decision, details: CacheStatusDetails): HeaderField[] {
    const fields: HeaderField[] = [[CACHE_HEADER, decision.phase]]
    if (decision.origin !== undefined) fields.push([ORIGIN_HEADER, decision.origin])
    fields.push(['cache-status', cacheStatus(this.#edgeId, decision, details)])
    return fields
  }
}

/** RFC 9110 §15.4.5: representation metadata that a 304 SHOULD NOT carry. */
const NOT_IN_304 = ['content-type', 'content-encoding', 'content-language', 'content-range', 'accept-ranges']
