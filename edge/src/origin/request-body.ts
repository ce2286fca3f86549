import { Readable } from 'node:stream'

/**
 * A client's request body, which can be read once only: as long as no byte of it was taken, the request may still be sent elsewhere.
 */
export class RequestBody {
  readonly #iterator: AsyncIterator<Uint8Array>
  /** Whether a byte may have been sent. */
  touched = false
  /** What the client's side threw: no origin's fault. */
  failure: { error: unknown } | undefined

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#iterator = body[Symbol.asyncIterator]()
  }

  /** For one attempt. Its end leaves the body alone until it has been touched. */
  stream(): Readable {
    return Readable.from(this.#chunks(), { objectMode: true })
  }

  async *#chunks(): AsyncGenerator<Uint8Array> {
    this.touched = true
    try {
      for (let next = await this.#next(); !next.done; next = await this.#next()) yield next.value
    } finally {
      await this.#iterator.return?.()
    }
  }

  async #next(): Promise<IteratorResult<Uint8Array>> {
    try {
      return await this.#iterator.next()
    } catch (error) {
      this.failure = { error }
      throw error
    }
  }
}
