/** Equal buffers that go round, because a fresh buffer per chunk costs half of the throughput. Only idle ones are bounded. */
export class BufferPool {
  readonly #size: number
  readonly #maxIdle: number
  readonly #idle: Buffer[] = []

  constructor(size: number, maxIdle: number) {
    this.#size = size
    this.#maxIdle = maxIdle
  }

  take(): Buffer {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.#size)
  }

  /** The caller must not touch the buffer any more. */
  give(buffer: Buffer): void {
    if (this.#idle.length < this.#maxIdle) this.#idle.push(buffer)
  }
}
