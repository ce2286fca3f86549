/** One at a time for each key, in the order of asking. */
export class KeyedLock<K> {
  readonly #last = new Map<K, Promise<void>>()

  held(key: K): boolean {
    return this.#last.has(key)
  }

  run<T>(key: K, work: () => Promise<T>): Promise<T> {
    const result = (this.#last.get(key) ?? Promise.resolve()).then(work)
    const ended: Promise<void> = result.then(
      () => this.#release(key, ended),
      () => this.#release(key, ended),
    )
    this.#last.set(key, ended)
    return result
  }

  #release(key: K, ended: Promise<void>): void {
    if (this.#last.get(key) === ended) this.#last.delete(key)
  }
}
