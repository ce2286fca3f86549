import type { HeaderField } from '../cache/entry-meta.js'
import type { Decision } from '../phase.js'
import type { RequestHeaders } from './framing.js'

/** A status line and its fields, rendered once and sent as they are: `http/head.ts` makes them. */
export interface ResponseHead {
  status: number
  /**
   * `200 OK`, then each field after a CRLF; without a CRLF at its end. Never content-length, date or transfer-encoding: those are the
   * server's. Bytes where it is not ASCII alone.
   */
  text: string | Uint8Array
}

/**
 * One request and its answer, the only view of the HTTP server that the edge's logic has. An answer is one `answer`, `answerHead` or
 * `sendWhole`, or calls of `trySend` (or `sendChunk` and `endChunks`) one after another. After an abort every call does nothing.
 */
export interface Exchange {
  readonly method: string
  /** As sent: not decoded, without the query. */
  readonly path: string
  /** As sent, without the question mark; empty where there is none. */
  readonly query: string
  /** The fields that the edge reads for itself. */
  readonly headers: RequestHeaders
  /** Every field of the request, in order, names in lower case, a character per byte of a value. Only within the handler's own turn. */
  fields(): HeaderField[]
  /**
   * The request's body, at the pace of its reader. Only within the handler's own turn, once.
   *
   * @throws from the iteration when the client leaves
   */
  readBody(): AsyncIterable<Uint8Array>
  /** Why the end of this request is in doubt; it must be answered with a 400 and a close. */
  readonly badFraming: string | undefined
  /** Whether a body follows the head. */
  readonly hasBody: boolean
  /** The address at the other end of the socket. */
  remoteAddress(): string
  /** What a PROXY v2 preamble said, empty without one: anybody can send it. */
  proxiedAddress(): string
  /** Milliseconds of `performance.now()`. */
  readonly arrivedAt: number
  /** The client left, or the answer was cut: nothing can be sent any more. */
  readonly aborted: boolean
  /** The answer was cut by the edge, because its bytes failed. */
  readonly broken: boolean
  /** Whether a head was sent: from then on an error can only cut the transfer. */
  readonly started: boolean
  /** Of the head that was sent; 0 before. */
  readonly status: number
  /** Milliseconds from the request's arrival to the answer's head; -1 before. */
  readonly headAfterMs: number
  /** Body bytes handed over so far. */
  readonly bytesSent: number
  /** How this request is answered; set by the handler before the answer's head. */
  decision: Decision
  /** Code of the problem that a refusal answers with; for metrics and log. */
  refusal: string | undefined
  /** What went wrong in the edge or behind it, for the log. */
  failure: unknown
  /** The client's canonical address, where it was worked out. */
  client: string | undefined
  /** Whether it is in the access log's sample. */
  logged: boolean
  /** Where it was made, for the origin's log and ours. */
  requestId: string | undefined
  /** Called, each listener once, when the client leaves before the answer is whole. */
  onAborted(listener: () => void): void
  answer(head: ResponseHead, body: string | Uint8Array, options?: { close?: boolean }): void
  /** A head alone: for HEAD with the length the body would have; for 204 and 304 without. */
  answerHead(head: ResponseHead, contentLength?: number): void
  /** A whole body of one byte or more from memory that nobody writes to any more; goes on by itself as the client reads. */
  sendWhole(head: ResponseHead, body: Uint8Array): void
  /**
   * Offers the next bytes of a body of `total` bytes; the head goes out before the first.
   *
   * @returns how many were taken; what was not may be offered again after `writable`, from the same memory or another
   */
  trySend(head: ResponseHead, chunk: Uint8Array, total: number): number
  /** Resolves when the client has read, or left. */
  writable(): Promise<void>
  /** The next bytes of a body of unknown length. */
  sendChunk(head: ResponseHead, chunk: Uint8Array): Promise<void>
  endChunks(head: ResponseHead): void
  /** Closes the connection in mid-answer: how a client learns that a body is broken. */
  cut(): void
}
