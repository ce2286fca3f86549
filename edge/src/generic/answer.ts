import { randomBytes } from 'node:crypto'
import { checkPreconditions, type Preconditions } from '@millrace/common/http/conditional'
import { contentRange, ifRangeHolds, parseRanges } from '@millrace/common/http/range'
import type { BodyReader } from '../cache/body.js'
import { type FillMeta, type HeaderField, headerOf } from '../cache/entry-meta.js'
import type { Exchange, ResponseHead } from '../http/exchange.js'
import { fieldValue } from '../http/fields.js'
import { multipart } from '../http/multipart.js'
import { type Piece, type Sending, sendPieces, sendStream, sendToEnd } from '../http/send.js'
import type { OriginAnswer } from '../origin/contract.js'
import { passedHead, type Said, storedHead } from './head.js'

export interface StoredAnswer {
  meta: FillMeta
  body: BodyReader
  /** Of the request. */
  fields: readonly HeaderField[]
  said: Said
  now: number
  sending: Sending
}

/** Statuses whose answer ends with its head, whatever it says of a length (RFC 9112 §6.3). */
function endsWithHead(status: number): boolean {
  return status === 204 || status === 304
}

/** RFC 9110 §15.3.6: "a server MUST NOT generate content in a 205 response", but has to say so by its framing. */
const RESET_CONTENT = 205

/**
 * Answers a GET or HEAD from a stored or growing response. RFC 9110 §13.2.1: preconditions count only where the answer without them would be
 * a 2xx; §14.2: "The Range header field is evaluated after evaluating the precondition header fields".
 *
 * @throws MillraceError `body-broken` when the bytes fail; the exchange tells whether anything was sent.
 */
export async function answerStored(exchange: Exchange, { meta, body, fields, said, now, sending }: StoredAnswer): Promise<void> {
  exchange.decision = said.decision
  const headOf = (status: number, extra?: readonly HeaderField[]) => storedHead(status, meta, now, said, extra)
  const validators = { etag: headerOf(meta, 'etag'), lastModified: headerOf(meta, 'last-modified'), receivedAt: meta.bornAt }
  const ok = meta.status >= 200 && meta.status < 300
  // If-Match and If-Unmodified-Since never come here.
  if (ok && checkPreconditions(exchange.method, preconditions(fields), validators) === 'not-modified')
    return exchange.answerHead(headOf(304))
  if (endsWithHead(meta.status)) return exchange.answerHead(headOf(meta.status))
  if (meta.status === RESET_CONTENT) return answerEmpty(exchange, headOf(meta.status))
  if (exchange.method === 'HEAD') return exchange.answerHead(headOf(meta.status), meta.length)
  if (meta.length === undefined) return sendToEnd(exchange, headOf(meta.status), body, sending)
  const length = meta.length
  const asked = meta.status === 200 && ifRangeHolds(fieldValue(fields, 'if-range'), validators) ? fieldValue(fields, 'range') : undefined
  const ranges = parseRanges(asked, length)
  switch (ranges.kind) {
    case 'unsatisfiable':
      return exchange.answer(headOf(416, [['content-range', contentRange(undefined, length)]]), '')
    case 'part': {
      const head = headOf(206, [['content-range', contentRange(ranges.range, length)]])
      const { start, end } = ranges.range
      return sendPieces(exchange, head, body, [{ start, end: end + 1 }], end - start + 1, sending)
    }
    case 'parts': {
      const parts = multipart(ranges.ranges, length, headerOf(meta, 'content-type'), randomBytes(16).toString('hex'))
      const pieces = parts.parts.flatMap(({ head, range }): Piece[] => [head, { start: range.start, end: range.end + 1 }])
      return sendPieces(exchange, headOf(206, [['content-type', parts.contentType]]), body, [...pieces, parts.end], parts.length, sending)
    }
    default:
      if (length === 0) return exchange.answer(headOf(meta.status), '')
      return sendPieces(exchange, headOf(meta.status), body, [{ start: 0, end: length }], length, sending)
  }
}

/** Streams an origin's answer to its one client. A failure in mid-body can only be shown by a closed connection; the origins count it. */
export async function answerPassed(exchange: Exchange, answer: OriginAnswer, said: Said, sending: Sending): Promise<void> {
  exchange.decision = said.decision
  const head = passedHead(answer, said)
  if (endsWithHead(answer.status) || answer.status === RESET_CONTENT || exchange.method === 'HEAD') {
    answer.discard()
    if (answer.status === RESET_CONTENT) return answerEmpty(exchange, head)
    return exchange.answerHead(head, endsWithHead(answer.status) ? undefined : answer.length)
  }
  return sendStream(exchange, head, answer, sending)
}

function answerEmpty(exchange: Exchange, head: ResponseHead): void {
  if (exchange.method === 'HEAD') exchange.answerHead(head, 0)
  else exchange.answer(head, '')
}

/** Those that a cache may decide by itself (RFC 9111 §4.3.2). */
export function preconditions(fields: readonly HeaderField[]): Preconditions {
  return {
    ifNoneMatch: fieldValue(fields, 'if-none-match'),
    ifModifiedSince: fieldValue(fields, 'if-modified-since'),
  }
}
