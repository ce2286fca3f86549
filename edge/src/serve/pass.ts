import type { MediaClass } from '@millrace/common/contracts/media-url'
import { notModified } from '@millrace/common/http/conditional'
import { parseRange } from '@millrace/common/http/range'
import type { HeaderField } from '../cache/entry-meta.js'
import { storableHeaders } from '../cache/headers.js'
import type { Exchange } from '../http/exchange.js'
import type { RequestHeaders } from '../http/framing.js'
import { type Sending, sendStream } from '../http/send.js'
import type { Attempt, OriginGroup } from '../origin/contract.js'
import type { Trace } from '../origin/trace.js'
import type { Decision } from '../phase.js'
import type { AnswerHeads } from './answer-head.js'

export type Passed = { kind: 'answered' } | { kind: 'exhausted'; attempts: Attempt[] } | { kind: 'left' }

export interface PassRequest {
  origins: OriginGroup
  heads: AnswerHeads
  order: readonly string[]
  path: string
  class: MediaClass
  sending: Sending
  trace: Trace
}

/**
 * Streams an origin's answer to one client and stores nothing: for what may not be cached, and when the cache can't take it.
 *
 * @returns what became of it; `exhausted` when no origin gave the bytes and nothing was sent.
 */
export async function answerPass(exchange: Exchange, request: PassRequest): Promise<Passed> {
  const abort = new AbortController()
  exchange.onAborted(() => abort.abort())
  if (exchange.aborted) return { kind: 'left' }
  const method = exchange.method === 'HEAD' ? 'HEAD' : 'GET'
  const range = method === 'GET' ? passableRange(exchange.headers) : undefined
  const fetched = await request.origins.fetch(request.order, {
    purpose: 'pass',
    mode: 'media',
    method,
    path: request.path,
    headers: range === undefined ? [] : [['range', range]],
    wanted: (status) => status === 200 || (range !== undefined && (status === 206 || status === 416)),
    beyondRoute: true,
    trace: request.trace,
    signal: abort.signal,
  })
  if (!fetched.ok) return exchange.aborted ? { kind: 'left' } : { kind: 'exhausted', attempts: fetched.attempts }
  const { answer } = fetched
  const decision: Decision = { phase: 'bypass', class: request.class, tier: 'origin', origin: answer.origin }
  exchange.decision = decision
  const fields: HeaderField[] = storableHeaders(answer.fields, 'media') ?? []
  for (const name of ['accept-ranges', 'content-encoding', 'content-range', 'vary']) {
    const value = answer.headers[name]
    if (value !== undefined) fields.push([name, value])
  }
  if (answer.headers.age !== undefined) fields.push(['age', answer.headers.age])
  const head = (status: number) => request.heads.passed(status, answer, fields, decision)
  if (notModified(exchange.headers, { etag: answer.headers.etag, lastModified: answer.headers['last-modified'] })) {
    answer.discard()
    exchange.answerHead(head(304))
  } else if (method === 'HEAD') {
    answer.discard()
    exchange.answerHead(head(answer.status), answer.length)
  } else {
    await sendStream(exchange, head(answer.status), answer, request.sending)
  }
  return { kind: 'answered' }
}

/** The Range to ask an origin for: never what no origin could read. Without one the whole is right in any case. */
function passableRange({ range, ifRange }: RequestHeaders): string | undefined {
  // Whether an If-Range holds is only known with the answer.
  if (ifRange !== undefined) return undefined
  return parseRange(range, Number.MAX_SAFE_INTEGER).kind === 'whole' ? undefined : range
}
