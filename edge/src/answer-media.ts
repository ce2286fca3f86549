import { notModified } from '@millrace/common/http/conditional'
import { contentRange, ifRangeHolds, parseRange } from '@millrace/common/http/range'
import type { BodyReader } from './cache/store.js'
import type { BufferPool } from './http/buffer-pool.js'
import type { Exchange, HeaderList } from './http/exchange.js'
import { mediaHead } from './http/headers.js'
import { sendRange, sendToEnd } from './http/send.js'
import type { FillMeta } from './keeper/fill.js'

export interface MediaAnswer {
  meta: FillMeta
  body: BodyReader
  /** Headers of every answer: CORS and the decision's. */
  extra: HeaderList
  now: number
  pool: BufferPool
}

/**
 * Answers a GET or HEAD from a stored or growing body: preconditions before ranges (RFC 9110 §13.2.2).
 *
 * @throws MillraceError `body-broken` when the bytes fail; the exchange tells whether anything was sent.
 */
export async function answerMedia(exchange: Exchange, { meta, body, extra, now, pool }: MediaAnswer): Promise<void> {
  const { headers, method } = exchange
  if (notModified(headers, meta)) return exchange.answerHead(mediaHead(304, meta, now, extra))
  if (meta.length === undefined) {
    // A range of what has no length yet can't be written as Content-Range; the whole is always right (RFC 9110 §14.2).
    const head = mediaHead(200, meta, now, extra)
    return method === 'HEAD' ? exchange.answerHead(head) : sendToEnd(exchange, head, body, pool)
  }
  // RFC 9110 §14.2: a server MUST ignore Range with a method other than GET.
  const asked = method === 'GET' && ifRangeHolds(headers.ifRange, meta) ? headers.range : undefined
  const verdict = parseRange(asked, meta.length)
  if (verdict.kind === 'unsatisfiable') {
    return exchange.answer(mediaHead(416, meta, now, [['content-range', contentRange(undefined, meta.length)], ...extra]), '')
  }
  if (verdict.kind === 'part') {
    const head = mediaHead(206, meta, now, [['content-range', contentRange(verdict.range, meta.length)], ...extra])
    return sendRange(exchange, head, body, verdict.range, pool)
  }
  const head = mediaHead(200, meta, now, extra)
  if (method === 'HEAD') return exchange.answerHead(head, meta.length)
  if (meta.length === 0) return exchange.answer(head, '')
  return sendRange(exchange, head, body, { start: 0, end: meta.length - 1 }, pool)
}
