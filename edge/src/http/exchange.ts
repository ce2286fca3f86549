export type HeaderList = readonly (readonly [name: string, value: string])[]

export interface ResponseHead {
  status: number
  /** Never content-length, date or transfer-encoding: those are the server's. */
  headers: HeaderList
}

/** What of a request's head the edge reads; copied, because the server's own object dies when its handler returns. */
export interface RequestHeaders {
  range?: string
  ifRange?: string
  ifNoneMatch?: string
  ifModifiedSince?: string
}

/**
 * One request and its answer, the only view of the HTTP server that the edge's logic has. An answer is one `answer`, one `answerHead`,
 * or calls of `send` (or `sendChunk` and `endChunks`) one after another. After an abort every call does nothing.
 */
export interface Exchange {
  readonly method: string
  /** As sent: not decoded, without the query. */
  readonly path: string
  readonly headers: RequestHeaders
  /** Why this request's framing is not trusted; it must be answered with a 400 and a close. */
  readonly badFraming: string | undefined
  readonly remoteAddress: string
  /** The client left, or the answer was cut: nothing can be sent any more. */
  readonly aborted: boolean
  /** The answer was cut by the edge, because its bytes failed. */
  readonly broken: boolean
  /** Whether a head was sent: from then on an error can only cut the transfer. */
  readonly started: boolean
  /** Of the head that was sent; 0 before. */
  readonly status: number
  /** Milliseconds from the request's arrival to the answer's head; undefined before. */
  readonly headAfterMs: number | undefined
  /** Body bytes handed over so far. */
  readonly bytesSent: number
  /** Called at most once, when the client leaves before the answer is whole. */
  onAborted(listener: () => void): void
  answer(head: ResponseHead, body: string, options?: { close?: boolean }): void
  /** A head alone: for HEAD with the length the body would have; for 204 and 304 without. */
  answerHead(head: ResponseHead, contentLength?: number): void
  /** The next bytes of a body of `total` bytes. Resolves when `chunk` may be reused; the head goes out with the first. */
  send(head: ResponseHead, chunk: Uint8Array, total: number): Promise<void>
  /** The next bytes of a body of unknown length. */
  sendChunk(head: ResponseHead, chunk: Uint8Array): Promise<void>
  endChunks(head: ResponseHead): void
  /** Closes the connection in mid-answer: how a client learns that a body is broken. */
  cut(): void
}
