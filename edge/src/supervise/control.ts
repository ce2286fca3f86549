import { ERROR_SOURCES, MillraceError, toErrorBody } from '@millrace/common/errors'
import { z } from 'zod'

/** Where messages go: a `ChildProcess` in the supervisor, `process` in a child. */
export interface ControlPort {
  send(message: object, sent: (error: Error | null) => void): void
  onMessage(listener: (message: unknown) => void): void
}

/** Answers a method of the other side; may throw, which that side gets as its error. */
export type ControlHandlers = Record<string, (payload: unknown) => unknown>

const errorSchema = z.object({
  code: z.string(),
  source: z.enum(ERROR_SOURCES),
  retryable: z.boolean(),
  message: z.string(),
  detail: z.string().optional(),
  status: z.number().optional(),
})

const messageSchema = z.union([
  z.object({ kind: z.literal('ask'), n: z.number(), method: z.string(), payload: z.unknown() }),
  z.object({ kind: z.literal('tell'), method: z.string(), payload: z.unknown() }),
  z.object({ kind: z.literal('answer'), n: z.number(), value: z.unknown() }),
  z.object({ kind: z.literal('error'), n: z.number(), error: errorSchema }),
])
type ControlMessage = z.infer<typeof messageSchema>

interface Pending {
  method: string
  resolve: (value: unknown) => void
  reject: (error: Error) => void
  timer: NodeJS.Timeout | undefined
}

/** Questions and answers between a supervisor and one child, over the channel that `fork` opens. */
export class ControlChannel {
  readonly #port: ControlPort
  readonly #handlers: ControlHandlers
  readonly #onFault: (error: Error) => void
  readonly #unknown: (method: string) => MillraceError
  readonly #pending = new Map<number, Pending>()
  #last = 0
  #closed = false

  /**
   * @param onFault told of a message that is none, and of a failure in something that was only told
   * @param unknown what to answer where there is no handler
   */
  constructor(port: ControlPort, handlers: ControlHandlers, onFault: (error: Error) => void, unknown = noSuchMethod) {
    this.#port = port
    this.#handlers = handlers
    this.#onFault = onFault
    this.#unknown = unknown
    port.onMessage((message) => this.#received(message))
  }

  /**
   * @param timeoutMs none for what may take any time; the channel's end ends it in any case
   * @throws MillraceError what the other side threw; `child-silent` after the timeout; `child-gone` when the channel closes
   */
  ask(method: string, payload?: unknown, timeoutMs?: number): Promise<unknown> {
    if (this.#closed) return Promise.reject(gone(method))
    return new Promise((resolve, reject) => {
      const n = ++this.#last
      const timer = timeoutMs === undefined ? undefined : setTimeout(() => this.#settle(n)?.reject(silent(method, timeoutMs)), timeoutMs)
      this.#pending.set(n, { method, resolve, reject, timer })
      this.#send({ kind: 'ask', n, method, payload }, (error) => {
        if (error) this.#settle(n)?.reject(gone(method, error))
      })
    })
  }

  /** Nobody waits for an answer; a channel that is gone makes it void. */
  tell(method: string, payload?: unknown): void {
    if (!this.#closed) this.#send({ kind: 'tell', method, payload }, () => {})
  }

  close(): void {
    this.#closed = true
    for (const n of [...this.#pending.keys()]) {
      const pending = this.#settle(n)
      pending?.reject(gone(pending.method))
    }
  }

  #send(message: ControlMessage, sent: (error: Error | null) => void): void {
    this.#port.send(message, sent)
  }

  #received(raw: unknown): void {
    const parsed = messageSchema.safeParse(raw)
    if (!parsed.success) {
      this.#onFault(parsed.error)
      return
    }
    const message = parsed.data
    if (message.kind === 'answer') this.#settle(message.n)?.resolve(message.value)
    else if (message.kind === 'error') {
      const { message: text, status, ...fields } = message.error
      this.#settle(message.n)?.reject(new MillraceError(text, { ...fields, ...(status !== undefined && { status }) }))
    } else if (message.kind === 'tell') this.#handle(message.method, message.payload).catch(this.#onFault)
    else void this.#answer(message.n, message.method, message.payload)
  }

  async #answer(n: number, method: string, payload: unknown): Promise<void> {
    let answer: ControlMessage
    try {
      answer = { kind: 'answer', n, value: await this.#handle(method, payload) }
    } catch (error) {
      const status = error instanceof MillraceError ? error.status : 500
      answer = { kind: 'error', n, error: { ...toErrorBody(error), status } }
    }
    // Who asked may be gone; its end is noticed elsewhere.
    this.#send(answer, () => {})
  }

  async #handle(method: string, payload: unknown): Promise<unknown> {
    const handler = Object.hasOwn(this.#handlers, method) ? this.#handlers[method] : undefined
    if (!handler) throw this.#unknown(method)
    return handler(payload)
  }

  #settle(n: number): Pending | undefined {
    const pending = this.#pending.get(n)
    this.#pending.delete(n)
    clearTimeout(pending?.timer)
    return pending
  }
}

export function noSuchMethod(method: string): MillraceError {
  return new MillraceError(`no method ${method}`, { code: 'no-such-method', source: 'internal', retryable: false })
}

function gone(method: string, cause?: unknown): MillraceError {
  return new MillraceError(`the process went away before it answered ${method}`, {
    code: 'child-gone',
    source: 'internal',
    retryable: true,
    status: 503,
    cause,
  })
}

function silent(method: string, ms: number): MillraceError {
  return new MillraceError(`no answer to ${method} within ${ms} ms`, {
    code: 'child-silent',
    source: 'internal',
    retryable: true,
    status: 503,
  })
}
