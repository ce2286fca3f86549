import type { EntryMeta } from '../cache/entry-meta.js'
import type { CacheKey } from '../cache/key.js'
import type { CacheStore, EntryWriter } from '../cache/store.js'

/**
 * What was done with the store when it failed; `fill` is a fault of the fill itself. The disks' errors are reported by the store as well:
 * count them in one place.
 */
export type FaultOperation = 'look' | 'create' | 'write' | 'commit' | 'rewrite' | 'drop' | 'fill'

export type OnFault = (operation: FaultOperation, error: unknown) => void

/** The store for those who go on without it when it fails: nothing here rejects. */
export class GuardedStore {
  readonly #store: CacheStore
  readonly #onFault: OnFault

  constructor(store: CacheStore, onFault: OnFault) {
    this.#store = store
    this.#onFault = onFault
  }

  look(key: CacheKey): Promise<EntryMeta | undefined> {
    return this.#try('look', () => this.#store.look(key))
  }

  create(key: CacheKey, length: number | undefined): Promise<EntryWriter | undefined> {
    return this.#try('create', () => this.#store.create(key, length))
  }

  /** @returns whether the entry has this head now. */
  async rewrite(key: CacheKey, meta: EntryMeta): Promise<boolean> {
    return (await this.#try('rewrite', () => this.#store.rewrite(key, meta))) ?? false
  }

  async drop(hash: string, id: string): Promise<void> {
    await this.#try('drop', () => this.#store.drop(hash, id))
  }

  async discard(writer: EntryWriter | undefined): Promise<void> {
    await this.#try('write', async () => writer?.discard())
  }

  /** @returns whether it was done. */
  async write(writer: EntryWriter, chunk: Uint8Array): Promise<boolean> {
    return (await this.#try('write', () => writer.write(chunk).then(() => true))) ?? false
  }

  /** @returns whether the entry is there; else nothing is left of it. */
  async commitWhole(writer: EntryWriter, meta: EntryMeta, body: readonly Uint8Array[]): Promise<boolean> {
    if (writer.commitWhole) return (await this.#try('commit', () => writer.commitWhole!(meta, body).then(() => true))) ?? false
    for (const chunk of body) {
      if (chunk.length === 0 || (await this.write(writer, chunk))) continue
      await this.discard(writer)
      return false
    }
    return this.commit(writer, meta)
  }

  /** @returns whether the entry is there. */
  async commit(writer: EntryWriter, meta: EntryMeta): Promise<boolean> {
    return (await this.#try('commit', () => writer.commit(meta).then(() => true))) ?? false
  }

  async #try<T>(operation: FaultOperation, run: () => Promise<T>): Promise<T | undefined> {
    try {
      return await run()
    } catch (error) {
      this.#onFault(operation, error)
      return undefined
    }
  }
}
