import { createHash, type Hash } from 'node:crypto'
import { connect, type Socket } from 'node:net'

export interface Answer {
  status: number
  /** Names in lower case. */
  headers: ReadonlyMap<string, string>
  bytes: number
  /** Hex SHA-256 of the body, where it was asked for. */
  sha256?: string
  /** Milliseconds from the request's write to the first body byte, and to the last. */
  firstByteMs: number
  wholeMs: number
}

/** The server has closed the connection before it sent anything of an answer. */
export class ClosedEarly extends Error {}

interface Pending {
  sentAt: number
  resolve: (answer: Answer) => void
  reject: (error: Error) => void
  hash: Hash | undefined
}

/**
 * One keep-alive connection that asks one thing at a time and does as little as a client can: what is measured is the server. Takes
 * answers with a content-length only, as all three servers give them here.
 */
export class HttpConnection {
  readonly #socket: Socket
  #pending: Pending | undefined
  #head = ''
  #answer: { status: number; headers: ReadonlyMap<string, string>; length: number } | undefined
  #bytes = 0
  #firstByteMs = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#take(chunk))
    socket.on('error', (error) => this.#closed(error.message))
    socket.on('close', () => this.#closed('the connection was closed'))
  }

  static open(port: number): Promise<HttpConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.removeListener('error', reject)
        resolve(new HttpConnection(socket))
      })
    })
  }

  /** @throws when the connection breaks or the answer has no length. */
  get(target: string, options: { digest?: boolean } = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#pending) return reject(new Error('one request at a time'))
      if (this.#socket.destroyed) return reject(new ClosedEarly('the connection was closed'))
      this.#pending = { sentAt: performance.now(), resolve, reject, hash: options.digest ? createHash('sha256') : undefined }
      this.#socket.write(`GET ${target} HTTP/1.1\r\nhost: bench\r\n\r\n`)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    const pending = this.#pending
    if (!pending) {
      this.#fail(new Error('bytes that nobody asked for'))
      return
    }
    let body = chunk
    if (!this.#answer) {
      this.#head += chunk.toString('latin1')
      const end = this.#head.indexOf('\r\n\r\n')
      if (end < 0) return
      const bodyLength = this.#head.length - end - 4
      this.#answer = parseHead(this.#head.slice(0, end))
      if (!this.#answer) {
        this.#fail(new Error(`an answer without a length: ${this.#head.slice(0, end)}`))
        return
      }
      body = chunk.subarray(chunk.length - bodyLength)
    }
    if (body.length > 0 && this.#bytes === 0) this.#firstByteMs = performance.now() - pending.sentAt
    this.#bytes += body.length
    pending.hash?.update(body)
    if (this.#bytes >= this.#answer.length) this.#finish(pending, this.#answer)
  }

  #finish(pending: Pending, { status, headers }: { status: number; headers: ReadonlyMap<string, string> }): void {
    const answer: Answer = {
      status,
      headers,
      bytes: this.#bytes,
      firstByteMs: this.#firstByteMs,
      wholeMs: performance.now() - pending.sentAt,
      ...(pending.hash ? { sha256: pending.hash.digest('hex') } : {}),
    }
    this.#pending = undefined
    this.#answer = undefined
    this.#head = ''
    this.#bytes = 0
    pending.resolve(answer)
  }

  #closed(message: string): void {
    this.#fail(this.#head === '' ? new ClosedEarly(message) : new Error(message))
  }

  #fail(error: Error): void {
    this.#socket.destroy()
    this.#pending?.reject(error)
    this.#pending = undefined
  }
}

function parseHead(head: string): { status: number; headers: ReadonlyMap<string, string>; length: number } | undefined {
  const [first = '', ...lines] = head.split('\r\n')
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
  }
  const length = Number(headers.get('content-length') ?? Number.NaN)
  return Number.isSafeInteger(length) ? { status: Number(first.split(' ')[1]), headers, length } : undefined
}
