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

/** Sends a body of `total` bytes that is all in memory, at the client's pace and without a copy. Nobody writes to `pieces` any more. */
export async function sendBytes(
  exchange: Exchange,
  head: ResponseHead,
  pieces: readonly Uint8Array[],
  total: number,
  sending: Sending,
): Promise<void> {
  const transfer = new Transfer(exchange, head, total, sending)
  try {
    for (const piece of pieces) await transfer.bytes(piece)
  } finally {
    sending.onEnd?.()
  }
}

/** Sends a body whose length is known when it ends, at the client's pace. */
export async function sendToEnd(exchange: Exchange, head: ResponseHead, body: BodyReader, sending: Sending): Promise<void> {
  const transfer = new Transfer(exchange, head, 0, sending)
  const buffer = sending.pool.take(0)
  try {
    for (let at = 0; !exchange.aborted; ) {
      const view = await body.read(buffer, at, Number.MAX_SAFE_INTEGER)
      if (view.length === 0) return exchange.endChunks(head)
      await transfer.chunk(view)
      at += view.length
    }
  } finally {
    sending.pool.give(buffer)
    sending.onEnd?.()
  }
}

/**
 * Sends a body as it comes, at the client's pace. What fails once the head is out can only be shown by a closed connection.
 *
 * @param length where it is known; a body of another one is cut
 * @throws what the iteration throws before the head is out
 */
export async function sendStream(
  exchange: Exchange,
  head: ResponseHead,
  { body, length }: { body: AsyncIterable<Uint8Array>; length: number | undefined },
  sending: Sending,
): Promise<void> {
  const transfer = new Transfer(exchange, head, length ?? 0, sending)
  let sent = 0
  try {
    for await (const chunk of body) {
      if (exchange.aborted) return
      sent += chunk.length
      if (length === undefined) await transfer.chunk(chunk)
      else if (sent <= length) await transfer.bytes(chunk)
      else return exchange.cut()
    }
  } catch (error) {
    if (!exchange.started) throw error
    return exchange.cut()
  } finally {
    sending.onEnd?.()
  }
  if (length === undefined) exchange.endChunks(head)
  else if (sent < length) exchange.cut()
  else if (length === 0) exchange.answer(head, '')
}

/** A chunk goes in pieces of this size while its client is watched, so that what a slow one reads counts soon. */
const WATCHED_BYTES = 4096

class Transfer {
  readonly #exchange: Exchange
  readonly #head: ResponseHead
  readonly #total: number
  readonly #sending: Sending
  /** Granted by the pace and not sent yet. */
  #granted = 0

  constructor(exchange: Exchange, head: ResponseHead, total: number, sending: Sending) {
    this.#exchange = exchange
    this.#head = head
    this.#total = total
    this.#sending = sending
  }

  /** All of these bytes of a body of `total`. */
  async bytes(bytes: Uint8Array): Promise<void> {
    let refused = false
    for (let at = 0; at < bytes.length && !this.#exchange.aborted; ) {
      const limit = at + (await this.#allowed(bytes.length - at))
      const taken = this.#offer(bytes.subarray(at, limit), refused)
      this.#granted -= taken
      at += taken
      refused = at < limit
      if (refused) await this.#writable()
    }
  }

  /** All of these bytes of a body of unknown length. */
  async chunk(bytes: Uint8Array): Promise<void> {
    const { onRefused, onTook } = this.#sending
    const most = onRefused ? WATCHED_BYTES : bytes.length
    for (let at = 0; at < bytes.length && !this.#exchange.aborted; ) {
      const piece = bytes.subarray(at, at + (await this.#allowed(Math.min(bytes.length - at, most))))
      onRefused?.()
      await this.#exchange.sendChunk(this.#head, piece)
      onTook?.(piece.length, true)
      this.#granted -= piece.length
      at += piece.length
    }
  }

  /** @returns false for a body that ends before its length: only the closed connection tells the client */
  async stored(body: BodyReader, start: number, end: number): Promise<boolean> {
    const { pool, pace } = this.#sending
    let refused = false
    for (let at = start; at < end && !this.#exchange.aborted; ) {
      const limit = pace ? at + (await this.#allowed(end - at)) : end
      const buffer = pool.take(limit - at)
      try {
        const view = await body.read(buffer, at, limit)
        if (view.length === 0) return false
        const sent = await this.#view(view, refused)
        refused = sent < view.length
        this.#granted -= sent
        at += sent
      } finally {
        pool.give(buffer)
      }
      if (refused && !this.#exchange.aborted) await this.#writable()
    }
    return true
  }

  /**
   * @param again the socket has refused these bytes before
   * @returns fewer bytes than there are when the buffer is needed elsewhere: the rest is to be read again
   */
  async #view(view: Uint8Array, again: boolean): Promise<number> {
    let sent = this.#offer(view, again)
    while (sent < view.length && !this.#exchange.aborted) {
      // Many wait: memory is not held for a slow client.
      if (this.#sending.pool.scarce) return sent
      await this.#writable()
      sent += this.#offer(view.subarray(sent), true)
    }
    return sent
  }

  /** How many of the `wanted` bytes may go now: first what was granted before and found no bytes, or no room. */
  async #allowed(wanted: number): Promise<number> {
    const { pace } = this.#sending
    if (!pace) return wanted
    if (this.#granted <= 0) this.#granted = await pace.grant(wanted)
    return Math.min(this.#granted, wanted)
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
