import { connect } from 'node:net'
import { Connection } from './connection.js'
import { type Greeting, PROTOCOL, type ToKeeper, type ToWorker, toWorkerSchema } from './messages.js'
import { badFrame, type Frame } from './wire.js'

export interface KeeperLinkOptions {
  path: string
  /** This worker's name. */
  worker: string
  /** Without a sign of life for so long the keeper counts as away, in milliseconds. */
  silenceMs: number
  /** Every message but `pong`. May throw: the connection is then made anew. */
  onMessage: (message: ToWorker, tail: Uint8Array) => void
  /** The connection is gone; a new one is on its way. */
  onLost: () => void
  /** Why a connection ended or could not be made; a keeper that isn't there yet is no fault. */
  onFault: (error: Error) => void
}

const FIRST_BACKOFF_MS = 50
const MAX_BACKOFF_MS = 1000

/** How long to wait before the next try after so many in vain. */
export function backoff(tries: number): number {
  return Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(tries, 10), MAX_BACKOFF_MS)
}

/** A worker's end of the connection to its keeper, made anew whenever it ends. */
export class KeeperLink {
  readonly #options: KeeperLinkOptions
  #connection: Connection | undefined
  #tries = 0
  #retry: NodeJS.Timeout | undefined
  #heartbeat: NodeJS.Timeout | undefined
  /** Heartbeats since the last sign of life. Counted, not timed: a worker that was stopped itself doesn't take its keeper for dead. */
  #silent = 0
  #closed = false

  constructor(options: KeeperLinkOptions) {
    this.#options = options
    this.#connect()
  }

  send(message: ToKeeper): void {
    this.#connection?.send(message)
  }

  /** The keeper has answered as it should: the next loss is tried again soon. */
  settled(): void {
    this.#tries = 0
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#connection?.destroy()
  }

  #connect(): void {
    const { path, worker, silenceMs } = this.#options
    const connection = new Connection(
      connect(path),
      { onFrame: (frame) => this.#received(frame), onClose: (error) => this.#lost(error) },
      false,
    )
    this.#connection = connection
    this.#silent = 0
    this.#heartbeat = setInterval(() => {
      if (++this.#silent > 3) connection.destroy(new Error(`the keeper was silent for ${silenceMs} ms`))
      else connection.send({ t: 'ping' })
    }, silenceMs / 4)
    connection.send({ t: 'hello', protocol: PROTOCOL, worker } satisfies Greeting)
  }

  #received(frame: Frame): void {
    this.#silent = 0
    const parsed = toWorkerSchema.safeParse(frame.head)
    if (!parsed.success) throw badFrame('not a message of a keeper', parsed.error)
    if (parsed.data.t !== 'pong') this.#options.onMessage(parsed.data, frame.tail)
  }

  #lost(error: (Error & { code?: string }) | undefined): void {
    clearInterval(this.#heartbeat)
    this.#connection = undefined
    if (this.#closed) return
    if (error && error.code !== 'ENOENT' && error.code !== 'ECONNREFUSED') this.#options.onFault(error)
    this.#options.onLost()
    this.#retry = setTimeout(() => this.#connect(), backoff(this.#tries++))
  }
}
