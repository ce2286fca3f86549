import type { Socket } from 'node:net'
import { type Frame, FrameDecoder, FrameWriter } from './wire.js'

/** Bytes waiting for the other side beyond which it counts as not reading: nothing is added that can wait. */
export const BACKLOG_BYTES = 1 << 20

export interface ConnectionHandlers {
  /** May throw: the connection is then closed with that error. */
  onFrame: (frame: Frame) => void
  /** Before a write, to add what was put off: called again when the other side has read on. */
  onWrite?: () => void
  /** Once. Without an error when the other side hung up. */
  onClose: (error?: Error) => void
}

/** Frames over a socket. What is sent within one turn of the event loop is one write. */
export class Connection {
  readonly #socket: Socket
  #handlers: ConnectionHandlers
  readonly #pauses: boolean
  readonly #decoder = new FrameDecoder()
  readonly #writer = new FrameWriter()
  #scheduled = false
  #closed = false
  #error: Error | undefined
  /** Those that wait for room. */
  #waiting: (() => void)[] = []

  /**
   * @param pauses whether who doesn't read answers is asked for no further questions. On one side only: two sides that wait for each
   *   other to read would wait for ever.
   */
  constructor(socket: Socket, handlers: ConnectionHandlers, pauses: boolean) {
    this.#socket = socket
    this.#handlers = handlers
    this.#pauses = pauses
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('drain', () => {
      socket.resume()
      this.schedule()
      this.#wake()
    })
    socket.on('error', (error) => {
      this.#error ??= error
    })
    socket.on('close', () => {
      this.#closed = true
      this.#wake()
      this.#handlers.onClose(this.#error)
    })
  }

  get closed(): boolean {
    return this.#closed
  }

  /** From the next frame on. */
  handOver(handlers: ConnectionHandlers): void {
    this.#handlers = handlers
  }

  /** Whether the other side doesn't keep up. */
  get backedUp(): boolean {
    return this.#socket.writableLength + this.#writer.bytes > BACKLOG_BYTES
  }

  /** @throws MillraceError `bad-frame` when it is too large. */
  send(head: object, tail?: Uint8Array): void {
    if (this.#closed) return
    this.#writer.push(head, tail)
    this.schedule()
  }

  /** Writes at the end of this turn. */
  schedule(): void {
    if (this.#scheduled || this.#closed) return
    this.#scheduled = true
    setImmediate(() => this.#write())
  }

  /** Writes what was sent at once. Resolves when the other side has room for more, or is gone. */
  async room(): Promise<void> {
    this.#write()
    if (!this.#closed && this.#socket.writableNeedDrain) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Writes what was sent, and no more. */
  end(): void {
    this.#write()
    this.#socket.end()
  }

  destroy(error?: Error): void {
    this.#error ??= error
    this.#closed = true
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    try {
      for (const frame of this.#decoder.push(chunk)) {
        if (this.#closed) return
        this.#handlers.onFrame(frame)
      }
    } catch (error) {
      this.destroy(error as Error)
    }
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }

  #write(): void {
    this.#scheduled = false
    if (this.#closed) return
    try {
      this.#handlers.onWrite?.()
    } catch (error) {
      this.destroy(error as Error)
      return
    }
    if (this.#writer.empty) return
    this.#socket.write(this.#writer.take())
    if (this.#pauses && this.backedUp) this.#socket.pause()
  }
}
