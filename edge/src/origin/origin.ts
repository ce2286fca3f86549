import { MillraceError } from '@millrace/common/errors'
import { Client, type Dispatcher, Pool } from 'undici'
import type { HeaderField } from '../cache/entry-meta.js'
import { flatten } from '../http/fields.js'
import type { AttemptOutcome, OriginAnswer, OriginRequest } from './contract.js'
import type { RequestBody } from './request-body.js'
import { Slots } from './slots.js'
import { type Carrier, Transfer, type TransferFailure, type TransferLimits } from './transfer.js'

export interface OriginOptions {
  id: string
  /** Scheme, host and port. */
  url: string
  /** PEM, of those that sign this origin's certificate, instead of the usual ones. */
  ca?: string | undefined
  /** For fills. */
  connections: number
  /** How long a fill may wait for one of them, in milliseconds. */
  queueTimeout: number
  limits: TransferLimits
}

/** What is sent, ready for the wire. */
export interface Sendable {
  purpose: OriginRequest['purpose']
  mode: OriginRequest['mode']
  method: string
  path: string
  fields: readonly HeaderField[]
  body?: RequestBody | undefined
}

export type Asked =
  | { ok: true; answer: OriginAnswer }
  | { ok: false; outcome: Extract<AttemptOutcome, 'timeout' | 'unreachable' | 'busy'>; connected: boolean }

/** RFC 9110 §9.2.2: what may be sent again when it is not known whether it arrived. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])
const MAX_DRAIN = 65_536
const KEEP_ALIVE_MS = 4000

export function repeatable(request: { method: string; body?: RequestBody | undefined }): boolean {
  return IDEMPOTENT.has(request.method) && request.body?.touched !== true
}

/** HTTP/1.1 to one origin. Connections for fills are bounded; slow clients have others, so that they can't take those from everybody. */
export class Origin {
  readonly id: string
  readonly url: string
  readonly ca: string | undefined
  readonly #options: OriginOptions
  readonly #slots: Slots
  readonly #fill: Pool
  readonly #pass: Pool
  /** A new connection for each request. */
  readonly #fresh: Pool

  constructor(options: OriginOptions) {
    this.id = options.id
    this.url = options.url
    this.ca = options.ca
    this.#options = options
    this.#slots = new Slots(options.connections)
    this.#fill = this.#pool(options.connections, 1)
    this.#pass = this.#pool(null, 1)
    this.#fresh = this.#pool(null, 0)
  }

  /**
   * One request. When a kept connection turns out to be closed, it is sent once more on a new one: "a client MAY automatically retry" what
   * is idempotent (RFC 9112 §9.3.1), and a close of an idle connection is no failure.
   *
   * @param signals any of which ends it, also later while the answer's body is read
   * @throws MillraceError `unsendable`; whatever the request's body throws
   */
  async ask(request: Sendable, signals: readonly AbortSignal[]): Promise<Asked> {
    const bounded = request.purpose === 'fill'
    if (bounded && !(await this.#slots.acquire(this.#options.queueTimeout, signals)))
      return { ok: false, outcome: 'busy', connected: false }
    // The answer to a generic request may turn out to be for one client alone, and then leaves the fills: it gives its slot back, but a
    // bounded pool would still count its connection.
    const kept = request.purpose === 'probe' ? this.#fresh : bounded && request.mode === 'media' ? this.#fill : this.#pass
    let transfer = this.#send(kept, request, signals)
    let answered = await transfer.answered
    if (!answered.ok && answered.failure.stale && repeatable(request) && !signals.some((signal) => signal.aborted)) {
      transfer = this.#send(this.#fresh, request, signals)
      answered = await transfer.answered
    }
    let held = bounded
    const release = () => {
      if (held) this.#slots.release()
      held = false
    }
    void transfer.closed.then(release)
    if (!answered.ok) return this.#failed(answered.failure, request)
    return { ok: true, answer: { ...this.#answer(transfer, request.method), leaveFills: release } }
  }

  /** Running transfers end in their own time. */
  async close(): Promise<void> {
    await Promise.all([this.#fill.close(), this.#pass.close(), this.#fresh.close()])
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#fill.destroy(), this.#pass.destroy(), this.#fresh.destroy()])
  }

  #send(pool: Pool, request: Sendable, signals: readonly AbortSignal[]): Transfer {
    const transfer = new Transfer(this.#options.limits, request.body)
    const abort = () => transfer.abort()
    for (const signal of signals) {
      if (signal.aborted) abort()
      signal.addEventListener('abort', abort, { once: true })
    }
    void transfer.closed.then(() => {
      for (const signal of signals) signal.removeEventListener('abort', abort)
    })
    const options: TransferOptions = {
      transfer,
      method: request.method,
      path: request.path,
      headers: request.fields.flat(),
      body: request.body?.stream(transfer) ?? null,
      headersTimeout: 0,
      bodyTimeout: 0,
    }
    pool.dispatch(options, transfer)
    return transfer
  }

  #answer(transfer: Transfer, method: string): Omit<OriginAnswer, 'leaveFills'> {
    const headers = flatten(transfer.fields)
    const length = contentLength(headers['content-length'])
    return {
      origin: this.id,
      status: transfer.status,
      headers,
      fields: transfer.fields,
      length,
      body: transfer.body((failure) => this.#error(failure)),
      discard: () => {
        if (method === 'HEAD' || (length !== undefined && length <= MAX_DRAIN)) transfer.discard(MAX_DRAIN)
        else transfer.abort()
      },
    }
  }

  #failed(failure: TransferFailure, request: Sendable): Asked {
    if (request.body?.failure) throw request.body.failure.error
    if (failure.kind === 'starved') {
      throw new MillraceError('the rest of the request did not come', {
        code: 'body-too-slow',
        source: 'client',
        retryable: true,
        status: 408,
      })
    }
    if (failure.kind === 'unsendable') {
      const detail = failure.cause.message
      throw new MillraceError('this request cannot be sent', { code: 'unsendable', source: 'client', retryable: false, detail })
    }
    return { ok: false, outcome: failure.kind === 'timeout' ? 'timeout' : 'unreachable', connected: failure.connected }
  }

  #error({ kind, cause }: TransferFailure): MillraceError {
    return new MillraceError(`origin ${this.id}: ${cause.message}`, {
      code: kind === 'timeout' ? 'origin-timeout' : 'origin-unreachable',
      source: 'origin',
      retryable: true,
      cause,
    })
  }

  #pool(connections: number | null, pipelining: number): Pool {
    return new Pool(this.url, {
      connections,
      pipelining,
      connect: { timeout: this.#options.limits.connect, ...(this.ca !== undefined && { ca: this.ca }) },
      keepAliveTimeout: KEEP_ALIVE_MS,
      factory: (url, options) => new Connection(url, options),
    })
  }
}

interface TransferOptions extends Dispatcher.DispatchOptions {
  transfer: Transfer
}

/** undici's client, which is one connection at a time, and knows whether that one has carried a request before. */
class Connection extends Client implements Carrier {
  #carried = false

  constructor(url: URL, options: object) {
    super(url, options)
    this.on('connect', () => {
      this.#carried = false
    })
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    ;(options as TransferOptions).transfer.carrier = this
    return super.dispatch(options, handler)
  }

  carry(): boolean {
    const before = this.#carried
    this.#carried = true
    return before
  }
}

function contentLength(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined
}
