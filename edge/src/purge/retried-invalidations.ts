import { isInForce } from './carry-out.js'

export interface RetriedInvalidationsOptions {
  /** @throws MillraceError when it isn't known that every worker knows */
  invalidate: (keyTexts: readonly string[]) => Promise<void>
  /** Each failure of a first try; what is tried again is not told again. */
  onFault: (error: unknown) => void
  retryMs?: number
  maxKeys?: number
}

/** Keys in one message to the keeper. */
const BATCH = 16

/**
 * Invalidations of unsafe requests that have been executed already: whatever goes wrong, their answers are sent. What can't be told to the
 * keeper, because its process is away, is tried until it can; meanwhile this worker serves nothing of it. Bounded: beyond that the oldest
 * are given up, and reported.
 */
export class RetriedInvalidations {
  readonly #options: RetriedInvalidationsOptions
  /** Each with the number of the request that made it doubtful last, oldest first. */
  readonly #doubtful = new Map<string, number>()
  #last = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: RetriedInvalidationsOptions) {
    this.#options = options
  }

  /** Never rejects. */
  async invalidate(keyTexts: readonly string[]): Promise<void> {
    try {
      await this.#options.invalidate(keyTexts)
    } catch (error) {
      this.#options.onFault(error)
      if (!isInForce(error)) this.#keep(keyTexts)
    }
  }

  doubtful(keyText: string): boolean {
    return this.#doubtful.has(keyText)
  }

  #keep(keyTexts: readonly string[]): void {
    const { maxKeys = 100_000, onFault } = this.#options
    const number = ++this.#last
    for (const key of keyTexts) {
      this.#doubtful.delete(key)
      this.#doubtful.set(key, number)
    }
    for (const [key] of this.#doubtful) {
      if (this.#doubtful.size <= maxKeys) break
      this.#doubtful.delete(key)
      onFault(new Error(`too many URLs wait for the keeper: ${key} may be served as it was`))
    }
    this.#retryLater()
  }

  #retryLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      void this.#retry()
    }, this.#options.retryMs ?? 100).unref()
  }

  async #retry(): Promise<void> {
    const batch = [...this.#first()]
    if (batch.length === 0) return
    try {
      await this.#options.invalidate(batch.map(([key]) => key))
    } catch (error) {
      if (!isInForce(error)) return this.#retryLater()
    }
    for (const [key, number] of batch) if (this.#doubtful.get(key) === number) this.#doubtful.delete(key)
    return this.#retry()
  }

  *#first(): Generator<[string, number]> {
    let taken = 0
    for (const one of this.#doubtful) {
      if (taken++ >= BATCH) return
      yield one
    }
  }
}
