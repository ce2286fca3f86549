import type { ByteRange } from '@millrace/common/http/range'
import type { BodyReader } from '../cache/store.js'
import type { BufferPool } from './buffer-pool.js'
import type { Exchange, ResponseHead } from './exchange.js'

/**
 * Sends bytes `range` of a body: one pooled buffer per transfer, filled again when the socket has taken it, so that a client's pace is
 * the reader's. The head goes out with the first bytes: until they are there, an error can still become another answer.
 *
 * @throws MillraceError `body-broken`, or the disk's error, as the reader does.
 */
export async function sendRange(
  exchange: Exchange,
  head: ResponseHead,
  body: BodyReader,
  range: ByteRange,
  pool: BufferPool,
): Promise<void> {
  const total = range.end - range.start + 1
  const buffer = pool.take()
  try {
    for (let at = range.start; at <= range.end && !exchange.aborted; ) {
      const left = range.end - at + 1
      const read = await body.read(left < buffer.length ? buffer.subarray(0, left) : buffer, at)
      // A body that ends before its length: only the closed connection tells the client.
      if (read === 0) return exchange.cut()
      await exchange.send(head, read === buffer.length ? buffer : buffer.subarray(0, read), total)
      at += read
    }
  } finally {
    pool.give(buffer)
  }
}

/** Sends a body whose length is known when it ends. */
export async function sendToEnd(exchange: Exchange, head: ResponseHead, body: BodyReader, pool: BufferPool): Promise<void> {
  const buffer = pool.take()
  try {
    for (let at = 0; !exchange.aborted; ) {
      const read = await body.read(buffer, at)
      if (read === 0) return exchange.endChunks(head)
      await exchange.sendChunk(head, buffer.subarray(0, read))
      at += read
    }
  } finally {
    pool.give(buffer)
  }
}
