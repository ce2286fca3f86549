/** What is kept of what is already in the file. */
export const WINDOW_BYTES = 1 << 18

/**
 * The newest chunks of a body, for readers in the fill's own process: most are right behind the origin, and need no file. Chunks that are
 * not yet in the file are all here.
 */
export class RecentChunks {
  #chunks: Uint8Array[] = []
  /** Body offset of the first chunk. */
  #from = 0
  #end = 0

  /** What has come so far. */
  get end(): number {
    return this.#end
  }

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#end += chunk.length
  }

  /** So many bytes of the body are in its file. */
  written(bytes: number): void {
    let drop = 0
    while (drop < this.#chunks.length) {
      const next = this.#from + this.#chunks[drop]!.length
      if (next > bytes || this.#end - next < WINDOW_BYTES) break
      this.#from = next
      drop++
    }
    if (drop > 0) this.#chunks.splice(0, drop)
  }

  /** Bytes from `at` on, at least one and not beyond `end`; undefined when they are not here. */
  view(at: number, end: number): Uint8Array | undefined {
    if (at < this.#from || at >= this.#end) return undefined
    let start = this.#from
    for (const chunk of this.#chunks) {
      if (at < start + chunk.length) return chunk.subarray(at - start, Math.min(chunk.length, end - start))
      start += chunk.length
    }
    return undefined
  }
}
