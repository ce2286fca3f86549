import { MillraceError } from '@millrace/common/errors'

/**
 * Frames between keeper and workers, over a unix stream socket:
 *
 *     0       4       8            8+h           8+h+t
 *     | h u32 | t u32 | head: JSON | tail: bytes |        both lengths big endian
 *
 * The tail carries body bytes, so that they are neither escaped nor copied through a string.
 */
export const MAX_HEAD_BYTES = 1 << 20
export const MAX_TAIL_BYTES = 1 << 17
const PREFIX_BYTES = 8

export interface Frame {
  head: unknown
  /** Empty for most. A view that nobody writes to. */
  tail: Uint8Array
}

const NO_TAIL = new Uint8Array(0)

/** Gathers frames until they are taken, all as one piece for one write. */
export class FrameWriter {
  #frames: { text: string; bytes: number; tail: Uint8Array }[] = []
  #bytes = 0

  get empty(): boolean {
    return this.#frames.length === 0
  }

  /** Bytes that wait to be taken. */
  get bytes(): number {
    return this.#bytes
  }

  /** @throws MillraceError `bad-frame` when the other side would not take it. */
  push(head: object, tail: Uint8Array = NO_TAIL): void {
    const text = JSON.stringify(head)
    const bytes = Buffer.byteLength(text)
    if (bytes > MAX_HEAD_BYTES || tail.length > MAX_TAIL_BYTES) throw badFrame(`head of ${bytes} and tail of ${tail.length} bytes`)
    this.#frames.push({ text, bytes, tail })
    this.#bytes += PREFIX_BYTES + bytes + tail.length
  }

  take(): Buffer {
    const piece = Buffer.allocUnsafe(this.#bytes)
    let at = 0
    for (const { text, bytes, tail } of this.#frames) {
      at = piece.writeUInt32BE(bytes, at)
      at = piece.writeUInt32BE(tail.length, at)
      at += piece.write(text, at, bytes, 'utf8')
      piece.set(tail, at)
      at += tail.length
    }
    this.#frames = []
    this.#bytes = 0
    return piece
  }
}

/** Cuts a stream, however it is chunked, into frames. After it has thrown, the stream is of no use any more. */
export class FrameDecoder {
  #chunks: Buffer[] = []
  #held = 0
  /** Held bytes below which there is no further frame, so that pieces of a large one are joined once and not at each chunk. */
  #need = PREFIX_BYTES

  /** Bytes of a frame that is not whole yet. */
  get held(): number {
    return this.#held
  }

  /**
   * The frames that this chunk completes. The chunk is kept, and tails are views of it.
   *
   * @throws MillraceError `bad-frame` when a length is out of bounds or a head is not JSON.
   */
  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk)
    this.#held += chunk.length
    if (this.#held < this.#need) return []
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#held)
    const frames: Frame[] = []
    let at = 0
    for (;;) {
      const left = bytes.length - at
      this.#need = PREFIX_BYTES
      if (left < PREFIX_BYTES) break
      const head = bytes.readUInt32BE(at)
      const tail = bytes.readUInt32BE(at + 4)
      if (head > MAX_HEAD_BYTES || tail > MAX_TAIL_BYTES) throw badFrame(`head of ${head} and tail of ${tail} bytes announced`)
      this.#need = PREFIX_BYTES + head + tail
      if (left < this.#need) break
      at += PREFIX_BYTES
      frames.push({ head: parseHead(bytes.toString('utf8', at, at + head)), tail: bytes.subarray(at + head, at + head + tail) })
      at += head + tail
    }
    this.#chunks = at < bytes.length ? [bytes.subarray(at)] : []
    this.#held = bytes.length - at
    return frames
  }
}

function parseHead(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw badFrame('its head is not JSON', error)
  }
}

export function badFrame(message: string, cause?: unknown): MillraceError {
  return new MillraceError(`frame between keeper and worker: ${message}`, { code: 'bad-frame', source: 'internal', retryable: true, cause })
}
