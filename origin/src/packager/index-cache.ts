import { LRUCache } from 'lru-cache'

/**
 * Values that are costly to make, by asset folder and file name; bounded by their bytes in memory. Callers who ask for one that is being made
 * wait for it together; a failure is theirs alone and isn't kept.
 */
export class IndexCache<V extends { bytes: number }> {
  readonly #kept: LRUCache<string, V>
  readonly #making = new Map<string, Promise<V>>()

  constructor(maxBytes: number) {
    this.#kept = new LRUCache({ maxSize: maxBytes, sizeCalculation: (value) => Math.max(1, value.bytes) })
  }

  /** A value larger than the whole cache is made again for each caller that doesn't find it in the making. */
  async get(folder: string, name: string, make: () => Promise<V>): Promise<V> {
    const key = keyOf(folder, name)
    const kept = this.#kept.get(key)
    if (kept) return kept
    const joined = this.#making.get(key)
    if (joined) return joined
    const making = make()
    this.#making.set(key, making)
    try {
      const value = await making
      // Forgotten meanwhile: the callers still get it, nobody after them.
      if (this.#making.get(key) === making) this.#kept.set(key, value)
      return value
    } finally {
      if (this.#making.get(key) === making) this.#making.delete(key)
    }
  }

  forget(folder: string): void {
    const prefix = keyOf(folder, '')
    for (const key of [...this.#kept.keys()]) if (key.startsWith(prefix)) this.#kept.delete(key)
    for (const key of [...this.#making.keys()]) if (key.startsWith(prefix)) this.#making.delete(key)
  }

  get bytes(): number {
    return this.#kept.calculatedSize
  }
}

function keyOf(folder: string, name: string): string {
  return `${folder}\0${name}`
}
