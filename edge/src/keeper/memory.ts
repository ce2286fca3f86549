import { MillraceError } from '@millrace/common/errors'
import type { GrowingChunks } from './contract.js'

/** Allocated at once: large enough that reads are few. */
const BLOCK_BYTES = 1 << 18

/** Bounds what all bodies in memory take together. */
export class MemoryBudget {
  readonly maxBytes: number
  #used = 0

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  get used(): number {
    return this.#used
  }

  /** @returns false, and takes nothing, when that would be more than there is. */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.maxBytes) return false
    this.#used += bytes
    return true
  }

  give(bytes: number): void {
    this.#used -= bytes
  }
}

/**
 * A body that no disk takes. Chunks are copied into blocks, because a chunk of one byte may hold on to the 64 KiB that the socket read with it.
 */
export class MemoryBody implements GrowingChunks {
  readonly #budget: MemoryBudget
  readonly #told: number | undefined
  #blocks: Buffer[] = []
  #length = 0
  #taken: number

  private constructor(budget: MemoryBudget, length: number | undefined, taken: number) {
    this.#budget = budget
    this.#told = length
    this.#taken = taken
  }

  /**
   * @param length of the body; where it is unknown, room is taken as the body grows
   * @returns undefined when there is no room for it.
   */
  static reserve(budget: MemoryBudget, length: number | undefined): MemoryBody | undefined {
    const taken = length ?? BLOCK_BYTES
    return budget.take(taken) ? new MemoryBody(budget, length, taken) : undefined
  }

  get length(): number {
    return this.#length
  }

  /** @throws MillraceError `no-room` */
  append(chunk: Uint8Array): void {
    for (let done = 0; done < chunk.length; ) {
      const within = this.#length % BLOCK_BYTES
      const block = this.#block(within)
      const part = chunk.subarray(done, done + block.length - within)
      block.set(part, within)
      done += part.length
      this.#length += part.length
    }
  }

  view(at: number): Uint8Array {
    const start = at - (at % BLOCK_BYTES)
    return this.#blocks[start / BLOCK_BYTES]!.subarray(at - start, this.#length - start)
  }

  /** A copy of bytes [start, end). */
  slice(start: number, end: number): Buffer {
    const parts: Uint8Array[] = []
    for (let at = start; at < end; ) {
      const part = this.view(at).subarray(0, end - at)
      parts.push(part)
      at += part.length
    }
    return Buffer.concat(parts)
  }

  free(): void {
    this.#budget.give(this.#taken)
    this.#taken = 0
    this.#length = 0
    this.#blocks = []
  }

  /** The block that the next byte goes into. */
  #block(within: number): Buffer {
    const last = this.#blocks.at(-1)
    if (last && within > 0 && within < last.length) return last
    const wanted = this.#told === undefined ? BLOCK_BYTES : Math.min(BLOCK_BYTES, this.#told - this.#length)
    if (wanted <= 0) throw new RangeError('the body is longer than its length')
    const needed = this.#length + wanted - this.#taken
    if (needed > 0) {
      if (!this.#budget.take(needed)) {
        throw new MillraceError('no memory for a body that no disk takes', { code: 'no-room', source: 'internal', retryable: true })
      }
      this.#taken += needed
    }
    const block = Buffer.allocUnsafeSlow(wanted)
    this.#blocks.push(block)
    return block
  }
}
