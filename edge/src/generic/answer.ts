import { randomBytes } from 'node:crypto'
import { checkPreconditions, type Preconditions } from '@millrace/common/http/conditional'
import { type ByteRange, contentRange, ifRangeHolds, parseRanges } from '@millrace/common/http/range'
import type { BodyReader } from '../cache/body.js'
import { type FillMeta, type HeaderField, headerOf } from '../cache/entry-meta.js'
import type { Exchange, HeaderList, ResponseHead } from '../http/exchange.js'
import { fieldValue } from '../http/fields.js'
import { multipart } from '../http/multipart.js'
import type { OriginAnswer } from '../origin/contract.js'
import { passedHead, type Said, storedHead } from './head.js'

/** Buffers of at least `BLOCK_BYTES`. */
export interface Buffers {
  take(): Buffer
  give(buffer: Buffer): void
}

export interface StoredAnswer {
  meta: FillMeta
  body: BodyReader
  /** Of the request. */
  fields: readonly HeaderField[]
  said: Said
  now: number
  buffers: Buffers
}

/** Statuses that never have a body (RFC 9110 §6.4.1). */
export function bodiless(status: number): boolean {
  return status === 204 || status === 205 || status === 304
}

/**
 * Answers a GET or HEAD from a stored or growing response. RFC 9110 §13.2.1: preconditions count only where the answer without them would be
 * a 2xx; §14.2: "The Range header field is evaluated after evaluating the precondition header fields".
 *
 * @throws MillraceError `body-broken` when the bytes fail; the exchange tells whether anything was sent.
 */
export async function answerStored(exchange: Exchange, { meta, body, fields, said, now, buffers }: StoredAnswer): Promise<void> {
  const headOf = (status: number, extra?: HeaderList) => storedHead(status, meta, now, said, extra)
  const validators = { etag: headerOf(meta, 'etag'), lastModified: headerOf(meta, 'last-modified'), receivedAt: meta.bornAt }
  const ok = meta.status >= 200 && meta.status < 300
  const verdict = ok ? checkPreconditions(exchange.method, preconditions(fields), validators) : 'proceed'
  if (verdict === 'not-modified') return exchange.answerHead(headOf(304))
  if (verdict === 'failed') return exchange.answer({ status: 412, headers: headOf(304).headers }, '')
  if (bodiless(meta.status)) return exchange.answerHead(headOf(meta.status))
  if (exchange.method === 'HEAD') return exchange.answerHead(headOf(meta.status), meta.length)
  if (meta.length === undefined) return sendToEnd(exchange, headOf(meta.status), body, buffers)
  const length = meta.length
  const asked = meta.status === 200 && ifRangeHolds(fieldValue(fields, 'if-range'), validators) ? fieldValue(fields, 'range') : undefined
  const ranges = parseRanges(asked, length)
  switch (ranges.kind) {
    case 'unsatisfiable':
      return exchange.answer(headOf(416, [['content-range', contentRange(undefined, length)]]), '')
    case 'part': {
      const head = headOf(206, [['content-range', contentRange(ranges.range, length)]])
      return sendParts(exchange, head, body, [{ head: undefined, range: ranges.range }], undefined, buffers)
    }
    case 'parts': {
      const parts = multipart(ranges.ranges, length, headerOf(meta, 'content-type'), randomBytes(16).toString('hex'))
      return sendParts(exchange, headOf(206, [['content-type', parts.contentType]]), body, parts.parts, parts.end, buffers)
    }
    default:
      if (length === 0) return exchange.answer(headOf(meta.status), '')
      return sendParts(exchange, headOf(meta.status), body, [{ head: undefined, range: { start: 0, end: length - 1 } }], undefined, buffers)
  }
}

/** Streams an origin's answer to its one client. A failure in mid-body can only be shown by a closed connection; the origins count it. */
export async function answerPassed(exchange: Exchange, answer: OriginAnswer, said: Said): Promise<void> {
  const head = passedHead(answer, said)
  if (bodiless(answer.status) || exchange.method === 'HEAD') {
    answer.discard()
    return exchange.answerHead(head, bodiless(answer.status) ? undefined : answer.length)
  }
  const { length } = answer
  let sent = 0
  try {
    for await (const chunk of answer.body) {
      if (exchange.aborted) return
      sent += chunk.length
      if (length === undefined) await exchange.sendChunk(head, chunk)
      else if (sent <= length) await exchange.send(head, chunk, length)
      else return exchange.cut()
    }
  } catch (error) {
    if (!exchange.started) throw error
    return exchange.cut()
  }
  if (length === undefined) exchange.endChunks(head)
  else if (sent < length) exchange.cut()
  else if (length === 0) exchange.answer(head, '')
}

export function preconditions(fields: readonly HeaderField[]): Preconditions {
  return {
    ifMatch: fieldValue(fields, 'if-match'),
    ifUnmodifiedSince: fieldValue(fields, 'if-unmodified-since'),
    ifNoneMatch: fieldValue(fields, 'if-none-match'),
    ifModifiedSince: fieldValue(fields, 'if-modified-since'),
  }
}

interface Part {
  head: Buffer | undefined
  range: ByteRange
}

async function sendParts(
  exchange: Exchange,
  head: ResponseHead,
  body: BodyReader,
  parts: readonly Part[],
  end: Buffer | undefined,
  buffers: Buffers,
): Promise<void> {
  const total = parts.reduce((sum, part) => sum + (part.head?.length ?? 0) + part.range.end - part.range.start + 1, end?.length ?? 0)
  const buffer = buffers.take()
  try {
    for (const part of parts) {
      // The bytes first: until they are there, an error can still become another answer.
      let next = await body.read(buffer, part.range.start, part.range.end + 1)
      if (part.head) await exchange.send(head, part.head, total)
      for (let at = part.range.start; ; ) {
        // A body that ends before its length: only the closed connection tells the client.
        if (next.length === 0) return exchange.cut()
        await exchange.send(head, next, total)
        at += next.length
        if (at > part.range.end || exchange.aborted) break
        next = await body.read(buffer, at, part.range.end + 1)
      }
      if (exchange.aborted) return
    }
    if (end) await exchange.send(head, end, total)
  } finally {
    buffers.give(buffer)
  }
}

async function sendToEnd(exchange: Exchange, head: ResponseHead, body: BodyReader, buffers: Buffers): Promise<void> {
  const buffer = buffers.take()
  try {
    for (let at = 0; !exchange.aborted; ) {
      const next = await body.read(buffer, at, Number.MAX_SAFE_INTEGER)
      if (next.length === 0) return exchange.endChunks(head)
      await exchange.sendChunk(head, next)
      at += next.length
    }
  } finally {
    buffers.give(buffer)
  }
}
