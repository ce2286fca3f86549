import { Readable } from 'node:stream'

/** Told of a body on its way to an origin. */
export interface UploadWatcher {
  /** A chunk was taken, or is waited for. */
  moved(): void
  /** All of it was. */
  sent(): void
}

/**
 * A client's request body, which can be read once only: as long as no byte of it was taken, the request may still be sent elsewhere.
 */
export class RequestBody {
  readonly #iterator: AsyncIterator<Uint8Array>
  /** Whether a byte may have been sent. */
  touched = false
  /** Whether the client is to send more before the origin can get any. */
  waiting = false
  /** What the client's side threw: no origin's fault. */
  failure: { error: unknown } | undefined

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#iterator = body[Symbol.asyncIterator]()
  }

  /** For one attempt. Its end leaves the body alone until it has been touched. */
  stream(watcher: UploadWatcher): Readable {
    // One chunk at a time, so that one that is waited for is one that the origin has room for.
    return Readable.from(this.#chunks(watcher), { objectMode: true, highWaterMark: 1 })
  }

  async *#chunks(watcher: UploadWatcher): AsyncGenerator<Uint8Array> {
    this.touched = true
    try {
      for (let next = await this.#next(); !next.done; next = await this.#next()) {
        watcher.moved()
        yield next.value
        watcher.moved()
      }
      watcher.sent()
    } finally {
      await this.#iterator.return?.()
    }
  }

  async #next(): Promise<IteratorResult<Uint8Array>> {
    this.waiting = true
    try {
      return await this.#iterator.next()
    } catch (error) {
      this.failure = { error }
      throw error
    } finally {
      this.waiting = false
    }
  }
}
