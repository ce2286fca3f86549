import type { BodyReader } from '../cache/body.js'
import type { BufferPool } from './buffer-pool.js'
import type { Exchange, ResponseHead } from './exchange.js'

/** A part of an answer's body: bytes [start, end) of the stored body, or bytes of the answer's own. */
export type Piece = { start: number; end: number } | Uint8Array

/** How fast one transfer may go; absent where nothing limits it. */
export interface Pace {
  /** Bytes that may go now, at most `wanted`; resolves when there are some. */
  grant(wanted: number): Promise<number> | number
}

export interface Sending {
  pool: BufferPool
  pace?: Pace | undefined
  /** Told around each wait for the client. */
  onBlocked?: ((blocked: boolean) => void) | undefined
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
  for (const piece of pieces) {
    if (piece instanceof Uint8Array) await sendBytes(exchange, head, piece, total, sending)
    else if (!(await sendStored(exchange, head, body, piece, total, sending))) return exchange.cut()
  }
}

/** @returns false for a body that ends before its length: only the closed connection tells the client */
async function sendStored(
  exchange: Exchange,
  head: ResponseHead,
  body: BodyReader,
  piece: { start: number; end: number },
  total: number,
  { pool, pace, onBlocked }: Sending,
): Promise<boolean> {
  let at = piece.start
  while (at < piece.end && !exchange.aborted) {
    let end = piece.end
    if (pace) end = at + (await pace.grant(end - at))
    const buffer = pool.take(end - at)
    let short = false
    try {
      const view = await body.read(buffer, at, end)
      if (view.length === 0) return false
      let sent = exchange.trySend(head, view, total)
      while (sent < view.length && !exchange.aborted) {
        // Many wait: this one reads again what it could not send, rather than hold memory for a slow client.
        if (pool.scarce) {
          short = true
          break
        }
        onBlocked?.(true)
        await exchange.writable()
        onBlocked?.(false)
        sent += exchange.trySend(head, view.subarray(sent), total)
      }
      at += sent
    } finally {
      pool.give(buffer)
    }
    if (short) {
      onBlocked?.(true)
      await exchange.writable()
      onBlocked?.(false)
    }
  }
  return true
}

async function sendBytes(
  exchange: Exchange,
  head: ResponseHead,
  bytes: Uint8Array,
  total: number,
  { onBlocked }: Sending,
): Promise<void> {
  for (let sent = 0; sent < bytes.length && !exchange.aborted; ) {
    sent += exchange.trySend(head, bytes.subarray(sent), total)
    if (sent === bytes.length || exchange.aborted) return
    onBlocked?.(true)
    await exchange.writable()
    onBlocked?.(false)
  }
}

/** Sends a body whose length is known when it ends. */
export async function sendToEnd(exchange: Exchange, head: ResponseHead, body: BodyReader, { pool }: Sending): Promise<void> {
  const buffer = pool.take(0)
  try {
    for (let at = 0; !exchange.aborted; ) {
      const view = await body.read(buffer, at, Number.MAX_SAFE_INTEGER)
      if (view.length === 0) return exchange.endChunks(head)
      await exchange.sendChunk(head, view)
      at += view.length
    }
  } finally {
    pool.give(buffer)
  }
}
