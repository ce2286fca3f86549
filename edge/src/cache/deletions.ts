import type { IndexKey } from './index.js'

/** Few, because each takes a thread of the pool that body reads need, too. */
const AT_ONCE = 4

/** Deletes files one after another, a few at once: room is free, and a name can be taken again, when its deletion is done. */
export class Deletions {
  readonly #remove: (key: IndexKey) => Promise<void>
  readonly #done: (blocks: number) => void
  /** Waiting and running, in order. */
  readonly #pending = new Map<IndexKey, number>()
  readonly #waiting: IndexKey[] = []
  #running = 0
  #watchers: (() => void)[] = []

  /** @param remove never rejects */
  constructor(remove: (key: IndexKey) => Promise<void>, done: (blocks: number) => void) {
    this.#remove = remove
    this.#done = done
  }

  get size(): number {
    return this.#pending.size
  }

  has(key: IndexKey): boolean {
    return this.#pending.has(key)
  }

  add(key: IndexKey, blocks: number): void {
    const before = this.#pending.get(key)
    this.#pending.set(key, (before ?? 0) + blocks)
    if (before !== undefined) return
    this.#waiting.push(key)
    this.#start()
  }

  /** Resolves when the next deletion is done; at once when there is none. */
  next(): Promise<void> {
    if (this.#pending.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#watchers.push(resolve))
  }

  async idle(): Promise<void> {
    while (this.#pending.size > 0) await this.next()
  }

  #start(): void {
    while (this.#running < AT_ONCE && this.#waiting.length > 0) void this.#run(this.#waiting.shift()!)
  }

  async #run(key: IndexKey): Promise<void> {
    this.#running++
    await this.#remove(key)
    this.#running--
    const blocks = this.#pending.get(key) ?? 0
    this.#pending.delete(key)
    this.#done(blocks)
    const watchers = this.#watchers
    this.#watchers = []
    for (const resolve of watchers) resolve()
    this.#start()
  }
}
