import type { HttpResponse } from 'uWebSockets.js'
import { MillraceError } from '@millrace/common/errors'

/** Chunks that may wait for their reader before the socket is paused. */
const HIGH_WATER = 1 << 18

/** A request's body as an iterable that pauses the socket while its reader is behind. Begins within the handler's turn. */
export function requestBody(res: HttpResponse, over: () => boolean): { chunks: AsyncIterable<Uint8Array>; abort: () => void } {
  const queue: Uint8Array[] = []
  let queued = 0
  let ended = false
  let aborted = false
  let paused = false
  let wake = () => {}

  res.onData((chunk, isLast) => {
    // The memory is the server's and is gone when this returns.
    if (chunk.byteLength > 0) queue.push(new Uint8Array(chunk.slice(0)))
    queued += chunk.byteLength
    ended = isLast
    if (!isLast && queued > HIGH_WATER && !paused) {
      paused = true
      res.pause()
    }
    wake()
  })

  async function* read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = queue.shift()
      if (chunk) {
        queued -= chunk.length
        if (paused && queued === 0 && !over()) {
          paused = false
          res.resume()
        }
        yield chunk
      } else if (ended) return
      else if (aborted) {
        throw new MillraceError('the client left in the middle of its request', { code: 'client-gone', source: 'client', retryable: false })
      } else await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  return {
    chunks: read(),
    abort: () => {
      aborted = true
      wake()
    },
  }
}
