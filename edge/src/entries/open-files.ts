import { closeSync } from 'node:fs'
import type { MillraceError } from '@millrace/common/errors'
import { LRUCache } from 'lru-cache'
import type { BodyReader } from '../cache/body.js'
import type { EntryMeta } from '../cache/entry-meta.js'
import type { CacheKey } from '../cache/key.js'
import type { EntryPlaces } from '../cache/store.js'
import { openFile, readEntry } from './entry-reader.js'
import { OpenEntry } from './open-entry.js'
import type { PreparedHead } from './prepared-head.js'
import { damage, inMemory, StoredBody } from './stored-body.js'

export interface OpenFilesOptions {
  places: EntryPlaces
  /** Descriptors kept open for entries in use lately. */
  maxOpen: number
  /** For how long a block that was checked, of a file that has not changed, is not checked again; in milliseconds. */
  verifyMs: number
  now: () => number
  prepare: (meta: EntryMeta) => PreparedHead
  /** An entry's file is not what it should be; the keeper is to drop it. */
  onDamaged: (hash: string, id: string, error: MillraceError) => void
  onVerified: (blocks: number) => void
}

/** Damaged entries that are remembered until their files are dropped. */
const MAX_DAMAGED = 1000

/**
 * Stored entries as this process reads them: opened by the path of their hash. Large ones are kept open while they are in use; small ones are
 * read whole and closed at once, because what is hot of them lies in RAM.
 */
export class OpenFiles {
  readonly #options: OpenFilesOptions
  /** Ids of entries that are not to be found again: the keeper may take a moment to drop one. */
  readonly #bad = new LRUCache<string, true>({ max: MAX_DAMAGED })
  readonly #entries: LRUCache<string, OpenEntry>
  readonly #opening = new Map<string, Opening>()

  constructor(options: OpenFilesOptions) {
    this.#options = {
      ...options,
      onDamaged: (hash, id, error) => {
        if (this.#bad.has(id)) return
        if (id !== '') this.#bad.set(id, true)
        options.onDamaged(hash, id, error)
      },
    }
    this.#entries = new LRUCache({ max: options.maxOpen, dispose: (entry) => entry.leave() })
  }

  get open(): number {
    return this.#entries.size
  }

  /** Only what is open already. */
  get(hash: string): OpenEntry | undefined {
    return this.#entries.get(hash)
  }

  /**
   * An entry that is found may be closed in any later turn of the loop: whoever wants its body takes it at once.
   *
   * @returns undefined when there is no whole entry of this key. @throws the disk's error
   */
  async find(key: CacheKey): Promise<OpenEntry | undefined> {
    const known = this.#entries.get(key.hash)
    if (known) return known
    let opening = this.#opening.get(key.hash)
    if (!opening) {
      opening = new Opening()
      this.#opening.set(key.hash, opening)
      opening.found = this.#open(key, opening)
    }
    return opening.found
  }

  /** A reader of the entry's body. @throws MillraceError `body-broken` when it was closed meanwhile */
  body(entry: OpenEntry): BodyReader {
    return entry.whole ? inMemory(entry.whole) : new StoredBody(entry, this.#options)
  }

  forget(hash: string): void {
    // What is being opened now may be the file that has just gone: its waiters get it, nobody after them.
    this.#opening.delete(hash)
    this.#entries.delete(hash)
  }

  clear(): void {
    this.#opening.clear()
    this.#entries.clear()
  }

  async #open(key: CacheKey, opening: Opening): Promise<OpenEntry | undefined> {
    try {
      const path = this.#options.places.path(key.hash)
      const fd = path === undefined ? undefined : await openFile(path)
      if (fd === undefined) return undefined
      const entry = await this.#read(fd, key)
      if (entry) this.#keep(entry, this.#opening.get(key.hash) === opening)
      return entry
    } finally {
      if (this.#opening.get(key.hash) === opening) this.#opening.delete(key.hash)
    }
  }

  async #read(fd: number, key: CacheKey): Promise<OpenEntry | undefined> {
    let kept = false
    try {
      const read = await readEntry(fd, key.text)
      if ('damage' in read) {
        this.#options.onDamaged(key.hash, read.id, damage(key.hash, read.damage))
        return undefined
      }
      if (this.#bad.has(read.meta.id)) return undefined
      kept = read.whole === undefined
      if (!kept) this.#options.onVerified(read.table.length)
      return new OpenEntry(key.hash, fd, read, this.#options.prepare(read.meta))
    } finally {
      // A turn of the thread pool costs more than this takes: nothing was written, and little is freed if the file is gone.
      if (!kept) closeSync(fd)
    }
  }

  /** What was forgotten while it was opened is for those who wait for it, and closed when none of them has taken its body. */
  #keep(entry: OpenEntry, lasting: boolean): void {
    entry.left = !lasting
    if (entry.whole) return
    if (lasting) this.#entries.set(entry.hash, entry)
    else setImmediate(() => entry.leave())
  }
}

/** One opening of a file, which any number of requests wait for. */
class Opening {
  found: Promise<OpenEntry | undefined> | undefined
}
