import { type Dispatcher, errors } from 'undici'
import type { HeaderField } from '../cache/entry-meta.js'
import type { UploadWatcher } from './request-body.js'

/** In milliseconds. */
export interface TransferLimits {
  /** To a connection, TLS included. */
  connect: number
  /** From the end of the request to the first byte of the body. */
  firstByte: number
  /** The longest silence within the body, and the longest time in which nothing of a request's body moves. */
  idle: number
}

/** The body that goes with a request. */
export interface Upload {
  /** Whether it is the client that has sent no more. */
  readonly waiting: boolean
}

/** The connection that carries a transfer. */
export interface Carrier {
  /** Told when a request goes out. @returns whether one went out on the same connection before. */
  carry(): boolean
}

export type TransferFailure = {
  /** `unsendable`: the request itself is at fault; `starved`: its body didn't come. */
  kind: 'timeout' | 'broken' | 'aborted' | 'unsendable' | 'starved'
  /** Whether there was a connection. */
  connected: boolean
  /** A kept connection that ended before the response began: it may have been closed before the origin saw the request. */
  stale: boolean
  cause: Error
}

export type Answered = { ok: true } | { ok: false; failure: TransferFailure }

/** Bytes that are held for a reader who is slower than the origin. */
const HIGH_WATER = 131_072
const HANG_UPS: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])

/** One request and its response as undici tells them, with own time limits: undici's are up to a second late. */
export class Transfer implements Dispatcher.DispatchHandler, UploadWatcher {
  status = 0
  fields: HeaderField[] = []
  /** Set by the connection that takes the request. */
  carrier: Carrier | undefined
  /** Settles with the first byte of the body, or its end, or a failure. Never rejects. */
  readonly answered: Promise<Answered>
  /** Resolves when the response is whole, or nothing more will come of it. */
  readonly closed: Promise<void>
  readonly #limits: TransferLimits
  /** Until the whole request is out. */
  #upload: Upload | undefined
  #closeNow!: () => void
  #settle!: (answered: Answered) => void
  #controller: Dispatcher.DispatchController | undefined
  #state: 'open' | 'ended' | TransferFailure = 'open'
  #reused = false
  #paused = false
  #chunks: Buffer[] = []
  #held = 0
  /** How much may still be thrown away, once nobody reads. */
  #discarding: number | undefined
  #wake: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined
  #armed = 0
  #events = 0

  constructor(limits: TransferLimits, upload?: Upload) {
    this.#limits = limits
    this.#upload = upload
    this.closed = new Promise((resolve) => {
      this.#closeNow = resolve
    })
    this.answered = new Promise((resolve) => {
      this.#settle = resolve
    })
    this.#arm(limits.connect)
  }

  /** In order, to the end. Held bytes come before a failure does. @throws what `toError` makes of it. */
  async *body(toError: (failure: TransferFailure) => Error): AsyncGenerator<Uint8Array, void, void> {
    try {
      for (;;) {
        const chunk = this.#chunks.shift()
        if (chunk) {
          this.#held -= chunk.length
          if (this.#paused && this.#held < HIGH_WATER / 2) this.#resume()
          yield chunk
        } else if (typeof this.#state === 'object') {
          throw toError(this.#state)
        } else if (this.#state === 'ended') {
          return
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve
          })
        }
      }
    } finally {
      this.abort()
    }
  }

  /** Reads what is left, at most so many bytes, for nobody. */
  discard(limit: number): void {
    this.#discarding = limit - this.#held
    this.#chunks = []
    this.#held = 0
    if (this.#discarding < 0) this.abort()
    else if (this.#paused) this.#resume()
  }

  abort(): void {
    if (this.#state === 'open') this.#fail('aborted', new errors.RequestAbortedError())
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (typeof this.#state === 'object') {
      controller.abort(this.#state.cause)
      return
    }
    this.#reused = this.carrier?.carry() ?? false
    this.#arm(this.#upload ? this.#limits.idle : this.#limits.firstByte)
  }

  moved(): void {
    if (this.#state !== 'open' || !this.#upload) return
    this.#events++
    this.#arm(this.#limits.idle)
  }

  sent(): void {
    if (this.#state !== 'open' || !this.#upload) return
    this.#upload = undefined
    this.#events++
    this.#arm(this.#limits.firstByte)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    // An interim response (1xx) is not the answer.
    if (status < 200) return
    this.status = status
    this.fields = fieldsOf(controller.rawHeaders)
    this.#events++
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#state !== 'open') return
    this.#events++
    // What answers before it has read all may not read the rest.
    this.#upload = undefined
    this.#settle({ ok: true })
    if (this.#discarding !== undefined) {
      this.#discarding -= chunk.length
      if (this.#discarding < 0) {
        this.abort()
        return
      }
    } else {
      this.#chunks.push(chunk)
      this.#held += chunk.length
      if (this.#held >= HIGH_WATER) {
        this.#paused = true
        controller.pause()
      }
    }
    this.#arm(this.#limits.idle)
    this.#notify()
  }

  onResponseEnd(): void {
    if (this.#state !== 'open') return
    this.#state = 'ended'
    this.#close()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    // RFC 9110 §8.6: a Content-Length in a 304 is that of the response which isn't sent. undici misses its body, and closes.
    if (this.status === 304 && error instanceof errors.ResponseContentLengthMismatchError) {
      this.onResponseEnd()
      return
    }
    const unsendable =
      error instanceof errors.InvalidArgumentError ||
      error instanceof errors.NotSupportedError ||
      error instanceof errors.RequestContentLengthMismatchError
    const timeout = error instanceof errors.ConnectTimeoutError
    this.#fail(unsendable ? 'unsendable' : timeout ? 'timeout' : 'broken', error)
  }

  #fail(kind: TransferFailure['kind'], cause: Error): void {
    if (this.#state !== 'open') return
    const code = (cause as NodeJS.ErrnoException).code
    const stale = kind === 'broken' && this.#reused && this.status === 0 && code !== undefined && HANG_UPS.has(code)
    this.#state = { kind, connected: this.#controller !== undefined, stale, cause }
    if (kind === 'aborted') this.#chunks = []
    this.#controller?.abort(cause)
    this.#close()
  }

  #close(): void {
    clearTimeout(this.#timer)
    this.#settle(typeof this.#state === 'object' ? { ok: false, failure: this.#state } : { ok: true })
    this.#notify()
    this.#closeNow()
  }

  #resume(): void {
    this.#paused = false
    this.#arm(this.#limits.idle)
    this.#controller?.resume()
  }

  #notify(): void {
    this.#wake?.()
    this.#wake = undefined
  }

  #arm(ms: number): void {
    if (this.#armed === ms && this.#timer) {
      this.#timer.refresh()
      return
    }
    clearTimeout(this.#timer)
    this.#armed = ms
    this.#timer = setTimeout(() => this.#expire(), ms)
  }

  #expire(): void {
    const before = this.#events
    // A process that was busy for long finds its timers due before it has read what came in meanwhile.
    setImmediate(() => {
      if (this.#state !== 'open') return
      // While the reader holds back, silence is not the origin's.
      if (this.#paused || this.#events !== before) this.#timer?.refresh()
      else if (this.#upload?.waiting) this.#fail('starved', new errors.RequestAbortedError('the request was not here in time'))
      else
        this.#fail('timeout', this.#controller ? new errors.HeadersTimeoutError('silent for too long') : new errors.ConnectTimeoutError())
    })
  }
}

function fieldsOf(raw: Dispatcher.DispatchController['rawHeaders']): HeaderField[] {
  if (!Array.isArray(raw)) return []
  const text = (item: Buffer | string) => (typeof item === 'string' ? item : item.toString('latin1'))
  const fields: HeaderField[] = []
  for (let at = 0; at + 1 < raw.length; at += 2) fields.push([text(raw[at]!).toLowerCase(), text(raw[at + 1]!).trim()])
  return fields
}
