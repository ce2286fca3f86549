import uws from 'uWebSockets.js'
import { STATUS_CODES } from 'node:http'
import type { ListenAddress } from '@millrace/common/config/units'
import { MillraceError } from '@millrace/common/errors'
import type { Exchange, RequestHeaders, ResponseHead } from './exchange.js'
import { HeadReader } from './framing.js'

export interface HttpServer {
  address: ListenAddress
  /** Takes no further connections; answers from now on ask clients to close theirs. */
  stopListening: () => void
  /** Resolves when no exchange is running. */
  idle: () => Promise<void>
}

/** Upstream calls this `us_listen_socket_close`. */
const closeListenSocket = uws.closeSocket
/** Upstream calls this `us_socket_local_port`. */
const portOf = uws.getSocketPort

/** The only file that knows uWebSockets.js. `handle` must not throw; it may answer at once or later. */
export async function listen(address: ListenAddress, handle: (exchange: Exchange) => void): Promise<HttpServer> {
  const state: ServerState = { draining: false, running: 0, idle: undefined }
  const app = uws.App().any('/*', (res, req) => {
    const exchange = new UwsExchange(state, res, req)
    handle(exchange)
  })
  const socket = await new Promise<uws.us_listen_socket | false>((resolve) => {
    app.listen(address.host, address.port, resolve)
  })
  if (!socket) {
    throw new MillraceError(`cannot listen on ${address.host}:${address.port}`, {
      code: 'listen-failed',
      source: 'internal',
      retryable: true,
    })
  }
  let open = true
  return {
    address: { host: address.host, port: portOf(socket) },
    stopListening: () => {
      state.draining = true
      if (open) closeListenSocket(socket)
      open = false
    },
    idle: () => (state.running === 0 ? Promise.resolve() : new Promise((resolve) => (state.idle = resolve))),
  }
}

interface ServerState {
  draining: boolean
  running: number
  idle: (() => void) | undefined
}

/** What `tryEnd` didn't take: a part of a body of `total` bytes, offered when the socket stood at `base`. */
interface RefusedPart {
  chunk: Uint8Array
  base: number
  total: number
}

/**
 * `write` takes everything, and the server sends on what it kept only when something more is written. Into a backlog go pieces that are
 * smaller than what a writable socket takes at least, so that it shrinks; one that goes through tells that it is gone.
 */
const PROBE_BYTES = 4096

/** Every `res` call after the answer's end or an abort throws in uWebSockets.js, so all go through `#over`. */
class UwsExchange implements Exchange {
  readonly method: string
  readonly path: string
  readonly headers: RequestHeaders
  readonly badFraming: string | undefined
  readonly remoteAddress: string
  aborted = false
  broken = false
  started = false
  status = 0
  headAfterMs: number | undefined
  bytesSent = 0
  readonly #arrivedAt = performance.now()
  readonly #server: ServerState
  readonly #res: uws.HttpResponse
  #over = false
  #abortListener: (() => void) | undefined
  #writableRegistered = false
  /** Whether bytes that `write` took are still in this process. */
  #backlog = false
  /** The `send` or `sendChunk` that waits for the client to read. */
  #waiting: { refused: RefusedPart | undefined; resolve: () => void } | undefined

  constructor(server: ServerState, res: uws.HttpResponse, req: uws.HttpRequest) {
    this.#server = server
    this.#res = res
    this.method = req.getCaseSensitiveMethod()
    this.path = req.getUrl()
    const reader = new HeadReader()
    req.forEachHeader((name, value) => reader.add(name, value))
    this.headers = reader.headers
    this.badFraming = reader.problem
    this.remoteAddress = Buffer.from(res.getRemoteAddressAsText()).toString()
    server.running++
    res.onAborted(() => this.#abort())
  }

  onAborted(listener: () => void): void {
    this.#abortListener = listener
  }

  answer(head: ResponseHead, body: string, options: { close?: boolean } = {}): void {
    if (this.#over) return
    // Within its handler this server would go on to run the bytes that follow as the next request, closing answer or not. An answer
    // from outside finds the connection closed instead, as with any request pipelined behind one that is still open.
    if (options.close) {
      this.status = head.status
      setImmediate(() => this.#answerNow(head, body, true))
    } else if (this.method === 'HEAD') this.answerHead(head, Buffer.byteLength(body))
    else this.#answerNow(head, body, false)
  }

  #answerNow(head: ResponseHead, body: string, close: boolean): void {
    if (this.#over) return
    this.#res.cork(() => {
      this.#writeHead(head)
      // endWithoutBody can't close in this build: a HEAD that must close says length 0.
      this.#res.end(this.method === 'HEAD' ? '' : body, close)
    })
    if (this.method !== 'HEAD') this.bytesSent += Buffer.byteLength(body)
    this.#finish()
  }

  answerHead(head: ResponseHead, contentLength?: number): void {
    if (this.#over) return
    this.#res.cork(() => {
      this.#writeHead(head)
      if (contentLength !== undefined) this.#res.writeHeader('content-length', String(contentLength))
      this.#res.endWithoutBody()
    })
    this.#finish()
  }

  send(head: ResponseHead, chunk: Uint8Array, total: number): Promise<void> {
    if (this.#over) return Promise.resolve()
    let taken = false
    let done = false
    let base = 0
    this.#res.cork(() => {
      this.#writeHead(head)
      base = this.#res.getWriteOffset()
      ;[taken, done] = this.#res.tryEnd(chunk, total)
    })
    this.bytesSent += chunk.length
    if (done) this.#finish()
    return taken || done ? Promise.resolve() : this.#untilWritable({ chunk, base, total })
  }

  async sendChunk(head: ResponseHead, chunk: Uint8Array): Promise<void> {
    // No piece is empty: one of length zero would end the body (RFC 9112 §7.1).
    for (let at = 0; at < chunk.length && !this.#over; ) {
      const piece = chunk.subarray(at, this.#backlog ? at + PROBE_BYTES : chunk.length)
      this.#res.cork(() => {
        this.#writeHead(head)
        this.#backlog = !this.#res.write(piece)
      })
      at += piece.length
      this.bytesSent += piece.length
      if (this.#backlog) await this.#untilWritable()
    }
  }

  endChunks(head: ResponseHead): void {
    if (this.#over) return
    this.#res.cork(() => {
      this.#writeHead(head)
      this.#res.end()
    })
    this.#finish()
  }

  cut(): void {
    if (this.#over) return
    this.broken = true
    this.#res.close()
  }

  #writeHead(head: ResponseHead): void {
    if (this.started) return
    this.started = true
    this.status = head.status
    this.headAfterMs = performance.now() - this.#arrivedAt
    this.#res.writeStatus(`${head.status} ${STATUS_CODES[head.status] ?? ''}`)
    for (const [name, value] of head.headers) this.#res.writeHeader(name, sanitise(value))
    if (this.#server.draining) this.#res.writeHeader('connection', 'close')
  }

  #untilWritable(refused?: RefusedPart): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = { refused, resolve }
      if (this.#writableRegistered) return
      this.#writableRegistered = true
      this.#res.onWritable((offset) => this.#resume(offset))
    })
  }

  /** What `tryEnd` didn't take is not buffered: it is offered again from where the socket stands. `write` had taken everything. */
  #resume(offset: number): boolean {
    const waiting = this.#waiting
    if (!waiting || this.#over) return true
    let taken = true
    let done = false
    if (waiting.refused) {
      const { chunk, base, total } = waiting.refused
      this.#res.cork(() => {
        ;[taken, done] = this.#res.tryEnd(chunk.subarray(offset - base), total)
      })
    }
    if (!taken && !done) return false
    this.#waiting = undefined
    if (done) this.#finish()
    waiting.resolve()
    return true
  }

  #abort(): void {
    if (this.#over) return
    this.aborted = true
    this.#finish()
    this.#waiting?.resolve()
    this.#waiting = undefined
    this.#abortListener?.()
  }

  #finish(): void {
    this.#over = true
    if (--this.#server.running === 0) {
      this.#server.idle?.()
      this.#server.idle = undefined
    }
  }
}

/** uWebSockets.js writes values as they come: a CR or LF would end the header line (RFC 9110 §5.5). */
function sanitise(value: string): string {
  return value.replace(/[^\t\x20-\x7e\x80-\u{10ffff}]/gu, '')
}
