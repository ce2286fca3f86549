import type { BodyReader } from '../cache/body.js'
import type { BufferPool } from './buffer-pool.js'
import type { Exchange, ResponseHead } from './exchange.js'

/** A part of an answer's body: bytes [start, end) of the stored body, or bytes of the answer's own. */
export type Piece = { start: number; end: number } | Uint8Array

/** How fast one transfer may go. */
export interface Pace {
  /** Bytes that may go now, at least 1 and at most `wanted`; resolves when there are some. */
  grant(wanted: number): Promise<number> | number
}

export interface Sending {
  pool: BufferPool
  /** Absent where nothing limits it. */
  pace?: Pace
  /** The socket refused bytes: the client is waited for. */
  onRefused?: () => void
  /** It took some of what it had refused; `all`: it wants more. */
  onTook?: (bytes: number, all: boolean) => void
  /** Whichever way the transfer ended. */
  onEnd?: () => void
}

/**
 * Sends pieces of a body, `total` bytes in all, at the client's pace. The head goes out with the first bytes: until they are there, an
 * error can still become another answer.
 *
 * @throws MillraceError `body-broken`, as the reader does.
 */
export async function sendPieces(
  exchange: Exchange,
  head: ResponseHead,
  body: BodyReader,
  pieces: readonly Piece[],
  total: number,
  sending: Sending,
): Promise<void> {
  const transfer = new Transfer(exchange, head, total, sending)
  try {
    for (const piece of pieces) {
      if (piece instanceof Uint8Array) await transfer.bytes(piece)
      else if (!(await transfer.stored(body, piece.start, piece.end))) return exchange.cut()
    }
  } finally {
    sending.onEnd?.()
  }
}

/** Sends bytes of a body of `total`, all of them, at the client's pace. */
export async function sendAll(exchange: Exchange, head: ResponseHead, bytes: Uint8Array, total: number): Promise<void> {
  for (let at = 0; at < bytes.length && !exchange.aborted; ) {
    at += exchange.trySend(head, bytes.subarray(at), total)
    if (at < bytes.length) await exchange.writable()
  }
}

/** Sends a body whose length is known when it ends. */
export async function sendToEnd(exchange: Exchange, head: ResponseHead, body: BodyReader, { pool, pace }: Sending): Promise<void> {
  const buffer = pool.take(0)
  try {
    for (let at = 0; !exchange.aborted; ) {
      const granted = pace ? await pace.grant(buffer.length) : Number.MAX_SAFE_INTEGER - at
      const view = await body.read(buffer, at, at + granted)
      if (view.length === 0) return exchange.endChunks(head)
      await exchange.sendChunk(head, view)
      at += view.length
    }
  } finally {
    pool.give(buffer)
  }
}

class Transfer {
  readonly #exchange: Exchange
  readonly #head: ResponseHead
  readonly #total: number
  readonly #sending: Sending

  constructor(exchange: Exchange, head: ResponseHead, total: number, sending: Sending) {
    this.#exchange = exchange
    this.#head = head
    this.#total = total
    this.#sending = sending
  }

  async bytes(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length && !this.#exchange.aborted; ) {
      at += this.#offer(bytes.subarray(at), at > 0)
      if (at < bytes.length) await this.#writable()
    }
  }

  /** @returns false for a body that ends before its length: only the closed connection tells the client */
  async stored(body: BodyReader, start: number, end: number): Promise<boolean> {
    const { pool, pace } = this.#sending
    for (let at = start; at < end && !this.#exchange.aborted; ) {
      const limit = pace ? at + (await pace.grant(end - at)) : end
      const buffer = pool.take(limit - at)
      let refused = false
      try {
        const view = await body.read(buffer, at, limit)
        if (view.length === 0) return false
        const sent = await this.#view(view)
        refused = sent < view.length
        at += sent
      } finally {
        pool.give(buffer)
      }
      if (refused && !this.#exchange.aborted) await this.#writable()
    }
    return true
  }

  /** @returns fewer bytes than there are when the buffer is needed elsewhere: the rest is to be read again */
  async #view(view: Uint8Array): Promise<number> {
    let sent = this.#offer(view, false)
    while (sent < view.length && !this.#exchange.aborted) {
      // Many wait: memory is not held for a slow client.
      if (this.#sending.pool.scarce) return sent
      await this.#writable()
      sent += this.#offer(view.subarray(sent), true)
    }
    return sent
  }

  #offer(bytes: Uint8Array, again: boolean): number {
    const taken = this.#exchange.trySend(this.#head, bytes, this.#total)
    const all = taken === bytes.length
    if (again) this.#sending.onTook?.(taken, all)
    if (!all) this.#sending.onRefused?.()
    return taken
  }

  #writable(): Promise<void> {
    return this.#exchange.writable()
  }
}
