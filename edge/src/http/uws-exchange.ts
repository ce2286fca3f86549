import type uws from 'uWebSockets.js'
import type { HeaderField } from '../cache/entry-meta.js'
import type { Decision } from '../phase.js'
import type { Exchange, ResponseHead } from './exchange.js'
import type { HeadReader, RequestHeaders } from './framing.js'
import { requestBody } from './request-body.js'

export interface ServerState {
  draining: boolean
  running: number
  idle: (() => void) | undefined
  onOver: (exchange: Exchange) => void
}

/** While a chunked body is backed up, it is fed in pieces of this size: the server keeps whatever `write` gives it. */
const PROBE_BYTES = 4096

const UNDECIDED: Decision = { phase: 'refused', class: 'none', tier: 'edge' }

/**
 * An exchange over one uWebSockets.js response. Within the handler's own turn the socket is corked already and an abort can't happen, so
 * an answer that is made at once costs neither a closure nor a listener.
 */
export class UwsExchange implements Exchange {
  readonly method: string
  readonly path: string
  readonly headers: RequestHeaders
  readonly badFraming: string | undefined
  readonly hasBody: boolean
  readonly arrivedAt = performance.now()
  aborted = false
  broken = false
  started = false
  status = 0
  headAfterMs = -1
  bytesSent = 0
  decision: Decision = UNDECIDED
  refusal: string | undefined
  client: string | undefined
  logged = false
  requestId: string | undefined
  failure: unknown
  readonly #server: ServerState
  readonly #res: uws.HttpResponse
  /** Dies with the handler's turn. */
  #req: uws.HttpRequest | undefined
  #query: string | undefined
  #address: string | undefined
  #proxied: string | undefined
  #over = false
  #abortListener: (() => void) | undefined
  #writableRegistered = false
  /** Whether bytes that `write` took are still in this process. */
  #backlog = false
  #wake: (() => void) | undefined
  /** A body that `sendWhole` feeds as the client reads. */
  #whole: { body: Uint8Array; base: number } | undefined

  constructor(server: ServerState, res: uws.HttpResponse, req: uws.HttpRequest, reader: HeadReader) {
    this.#server = server
    this.#res = res
    this.#req = req
    this.method = req.getCaseSensitiveMethod()
    this.path = req.getUrl()
    reader.reset()
    req.forEachHeader((name, value) => reader.add(name, value))
    this.headers = reader.headers
    this.badFraming = reader.problem
    this.hasBody = reader.hasBody
    server.running++
  }

  /** The handler has returned. */
  handled(): void {
    if (this.#over) return
    this.#query ??= this.#req?.getQuery() ?? ''
    this.#req = undefined
    this.#res.onAborted(() => this.#abort())
  }

  get query(): string {
    this.#query ??= this.#req?.getQuery() ?? ''
    return this.#query
  }

  fields(): HeaderField[] {
    const fields: HeaderField[] = []
    this.#req?.forEachHeader((name, value) => fields.push([name, bytesOf(value)]))
    return fields
  }

  readBody(): AsyncIterable<Uint8Array> {
    const body = requestBody(this.#res, () => this.#over)
    this.onAborted(body.abort)
    return body.chunks
  }

  remoteAddress(): string {
    if (this.#address === undefined && !this.#over) this.#address = Buffer.from(this.#res.getRemoteAddressAsText()).toString('latin1')
    return this.#address ?? ''
  }

  proxiedAddress(): string {
    if (this.#proxied === undefined && !this.#over) {
      this.#proxied = Buffer.from(this.#res.getProxiedRemoteAddressAsText()).toString('latin1')
    }
    return this.#proxied ?? ''
  }

  onAborted(listener: () => void): void {
    const earlier = this.#abortListener
    this.#abortListener = earlier
      ? () => {
          earlier()
          listener()
        }
      : listener
  }

  answer(head: ResponseHead, body: string | Uint8Array, options: { close?: boolean } = {}): void {
    if (this.#over) return
    // Within its handler this server would go on to run the bytes that follow as the next request, closing answer or not. An answer
    // from outside finds the connection closed instead, as with any request pipelined behind one that is still open.
    if (options.close) {
      this.status = head.status
      setImmediate(() => this.#corked(() => this.#answerNow(head, body, true)))
    } else this.#corked(() => this.#answerNow(head, body, false))
  }

  #answerNow(head: ResponseHead, body: string | Uint8Array, close: boolean): void {
    if (this.#over) return
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length
    this.#writeHead(head)
    if (this.method !== 'HEAD') {
      this.#res.end(body, close)
      this.bytesSent += length
    } else if (close) {
      // endWithoutBody can't close in this build: a HEAD that must close says length 0.
      this.#res.end('', true)
    } else {
      this.#res.writeHeader('content-length', String(length))
      this.#res.endWithoutBody()
    }
    this.#finish()
  }

  answerHead(head: ResponseHead, contentLength?: number): void {
    if (this.#over) return
    this.#corked(() => {
      this.#writeHead(head)
      if (contentLength !== undefined) this.#res.writeHeader('content-length', String(contentLength))
      this.#res.endWithoutBody()
    })
    this.#finish()
  }

  sendWhole(head: ResponseHead, body: Uint8Array): void {
    if (this.#over) return
    if (!this.#req) {
      this.#corked(() => this.#sendWholeNow(head, body))
    } else this.#sendWholeNow(head, body)
  }

  #sendWholeNow(head: ResponseHead, body: Uint8Array): void {
    this.#writeHead(head)
    // What the socket doesn't take of a small body costs less to buffer than to come back for.
    if (body.length <= 16_384) {
      this.#res.end(body)
      this.bytesSent = body.length
      this.#finish()
      return
    }
    const base = this.#res.getWriteOffset()
    const [, done] = this.#res.tryEnd(body, body.length)
    if (done) {
      this.bytesSent = body.length
      this.#finish()
      return
    }
    this.bytesSent = this.#res.getWriteOffset() - base
    this.#whole = { body, base }
    this.#watchWritable()
  }

  trySend(head: ResponseHead, chunk: Uint8Array, total: number): number {
    if (this.#over) return chunk.length
    let done = false
    let taken = 0
    this.#corked(() => {
      this.#writeHead(head)
      const before = this.#res.getWriteOffset()
      ;[, done] = this.#res.tryEnd(chunk, total)
      if (!done) taken = this.#res.getWriteOffset() - before
    })
    if (done) taken = chunk.length
    this.bytesSent += taken
    if (done) this.#finish()
    return taken
  }

  writable(): Promise<void> {
    if (this.#over) return Promise.resolve()
    return new Promise((resolve) => {
      this.#wake = resolve
      this.#watchWritable()
    })
  }

  async sendChunk(head: ResponseHead, chunk: Uint8Array): Promise<void> {
    // No piece is empty: one of length zero would end the body (RFC 9112 §7.1).
    for (let at = 0; at < chunk.length && !this.#over; ) {
      const piece = chunk.subarray(at, this.#backlog ? at + PROBE_BYTES : chunk.length)
      this.#corked(() => {
        this.#writeHead(head)
        this.#backlog = !this.#res.write(piece)
      })
      at += piece.length
      this.bytesSent += piece.length
      if (this.#backlog) await this.writable()
    }
  }

  endChunks(head: ResponseHead): void {
    if (this.#over) return
    this.#corked(() => {
      this.#writeHead(head)
      this.#res.end()
    })
    this.#finish()
  }

  cut(): void {
    if (this.#over) return
    this.broken = true
    // Closing calls the abort listener, except within the handler's turn, which has none yet.
    if (this.#req) this.#abort()
    this.#res.close()
  }

  /** Within the handler's turn the socket is corked already. */
  #corked(write: () => void): void {
    if (this.#over) return
    if (this.#req) write()
    else this.#res.cork(write)
  }

  #writeHead(head: ResponseHead): void {
    if (this.started) return
    this.started = true
    this.status = head.status
    this.headAfterMs = performance.now() - this.arrivedAt
    // This server writes a status as it comes, so that a whole head is one call; head.ts keeps what origins say from ending a line.
    this.#res.writeStatus(this.#server.draining ? closing(head.text) : head.text)
  }

  #watchWritable(): void {
    if (this.#writableRegistered) return
    this.#writableRegistered = true
    this.#res.onWritable((offset) => this.#onWritable(offset))
  }

  /** What `tryEnd` didn't take is not buffered: it is offered again from where the socket stands. `write` had taken everything. */
  #onWritable(offset: number): boolean {
    if (this.#over) return true
    const whole = this.#whole
    if (whole) {
      const [taken, done] = this.#res.tryEnd(whole.body.subarray(offset - whole.base), whole.body.length)
      this.bytesSent = done ? whole.body.length : this.#res.getWriteOffset() - whole.base
      if (done) this.#finish()
      return taken || done
    }
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
    return true
  }

  #abort(): void {
    if (this.#over) return
    this.aborted = true
    this.#finish()
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
    this.#abortListener?.()
  }

  #finish(): void {
    this.#over = true
    this.#whole = undefined
    this.#server.onOver(this)
    if (--this.#server.running === 0) {
      this.#server.idle?.()
      this.#server.idle = undefined
    }
  }
}

/** The server reads values as UTF-8; what isn't is lost to it. */
function bytesOf(value: string): string {
  return /[\x80-\uffff]/.test(value) ? Buffer.from(value).toString('latin1') : value
}

function closing(text: string | Uint8Array): string | Uint8Array {
  const field = '\r\nconnection: close'
  return typeof text === 'string' ? text + field : Buffer.concat([text, Buffer.from(field)])
}
