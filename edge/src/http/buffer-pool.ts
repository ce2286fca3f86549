import { BLOCK_BYTES } from '../cache/body.js'

/** For whole segments: reads and sends are few. */
const LARGE_BYTES = 4 * BLOCK_BYTES

/**
 * Buffers that go round, in two sizes, because a fresh buffer per chunk costs half of the throughput. A transfer holds one while it reads
 * and sends; when many do, it is asked to give its buffer back while it waits for its client.
 */
export class BufferPool {
  readonly #small: Buffer[] = []
  readonly #large: Buffer[] = []
  readonly #comfortBytes: number
  #usedBytes = 0

  /** @param comfortBytes in use up to which transfers may keep their buffers, and idle ones are kept */
  constructor(comfortBytes: number) {
    this.#comfortBytes = comfortBytes
  }

  /** Whether a transfer that waits should rather give its buffer back and read again. */
  get scarce(): boolean {
    return this.#usedBytes > this.#comfortBytes
  }

  /** At least one block long; longer where that serves `wanted` bytes better. */
  take(wanted: number): Buffer {
    const large = wanted > BLOCK_BYTES && !this.scarce
    const buffer = large
      ? (this.#large.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES))
      : (this.#small.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES))
    this.#usedBytes += buffer.length
    return buffer
  }

  /** The caller must not touch the buffer any more. */
  give(buffer: Buffer): void {
    this.#usedBytes -= buffer.length
    const idle = buffer.length === LARGE_BYTES ? this.#large : this.#small
    if ((idle.length + 1) * buffer.length <= this.#comfortBytes) idle.push(buffer)
  }
}
