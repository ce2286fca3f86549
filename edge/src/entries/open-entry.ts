import { close } from 'node:fs'
import { MillraceError } from '@millrace/common/errors'
import { BODY_BROKEN } from '../cache/body.js'
import type { EntryMeta } from '../cache/entry-meta.js'
import type { ReadEntry } from './entry-reader.js'
import type { PreparedHead } from './prepared-head.js'

/**
 * A stored entry as it was found. A large one has its file open: the descriptor keeps the file when the entry is evicted or replaced, and is
 * closed once, with its last holder after it can't be found any more. A small one has its body here, and no descriptor.
 */
export class OpenEntry {
  readonly hash: string
  readonly meta: EntryMeta
  readonly head: PreparedHead
  readonly table: Uint32Array
  /** When each block was last checked; Unix milliseconds. */
  readonly checkedAt: Float64Array
  /** Of the file when its blocks were checked: any write to it changes this. */
  changedAt: number
  /** The checked body of a small file. */
  readonly whole: Uint8Array | undefined
  uses = 0
  /** When it was last counted as used, in whole seconds. */
  countedAt = 0
  /** No longer to be found. */
  left = false
  readonly #fd: number
  #holders = 0
  #closed = false

  /** @param fd of the file; of no use with `read.whole` */
  constructor(hash: string, fd: number, read: ReadEntry, head: PreparedHead) {
    this.hash = hash
    this.#fd = fd
    this.head = head
    this.meta = read.meta
    this.table = read.table
    this.changedAt = read.changedAt
    this.whole = read.whole
    this.checkedAt = new Float64Array(read.table.length)
  }

  /**
   * Whoever holds it may use the descriptor until `release`.
   *
   * @throws MillraceError `body-broken` when it is closed already: the number may be another file's by now.
   */
  hold(): number {
    if (this.#closed) {
      throw new MillraceError(`the cache file ${this.hash} is not open any more`, { code: BODY_BROKEN, source: 'disk', retryable: true })
    }
    this.#holders++
    return this.#fd
  }

  release(): void {
    this.#holders--
    this.#closeUnused()
  }

  leave(): void {
    this.left = true
    this.#closeUnused()
  }

  #closeUnused(): void {
    if (!this.left || this.#holders > 0 || this.#closed) return
    this.#closed = true
    // Nothing was written through it: there is nothing that a failing close could tell.
    close(this.#fd, () => undefined)
  }
}
