import { fstatSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { MillraceError } from '@millrace/common/errors'
import { BLOCK_BYTES, BODY_BROKEN, type BodyReader } from '../cache/body.js'
import { BODY_OFFSET } from '../cache/entry-format.js'
import { readFully } from './entry-reader.js'
import type { OpenEntry } from './open-entry.js'

export interface StoredBodyOptions {
  /** For how long a block that was checked, of a file that has not changed, is not checked again; in milliseconds. */
  verifyMs: number
  now: () => number
  onDamaged: (hash: string, id: string, error: MillraceError) => void
  onVerified: (blocks: number) => void
}

/** The whole body of a large entry, in its open file. Blocks are checked before their bytes are given out. */
export class StoredBody implements BodyReader {
  readonly #entry: OpenEntry
  readonly #options: StoredBodyOptions
  readonly #fd: number
  #closed = false

  /** @throws MillraceError `body-broken` when the entry's file is closed already, or can't be looked at */
  constructor(entry: OpenEntry, options: StoredBodyOptions) {
    this.#entry = entry
    this.#options = options
    this.#fd = entry.hold()
    try {
      // A file that was written to since its blocks were checked is checked anew.
      const { ctimeMs } = fstatSync(this.#fd)
      if (ctimeMs !== entry.changedAt) {
        entry.changedAt = ctimeMs
        entry.checkedAt.fill(0)
      }
    } catch (error) {
      this.close()
      throw this.#damaged('cannot be read', error)
    }
  }

  async read(buffer: Buffer, at: number, end: number): Promise<Uint8Array> {
    const { meta } = this.#entry
    const limit = Math.min(end, meta.length)
    if (at >= limit) return buffer.subarray(0, 0)
    const first = Math.floor(at / BLOCK_BYTES)
    // Checked blocks can be read from anywhere; others only whole.
    let from = at
    let to = Math.min(limit, at + buffer.length)
    const last = Math.floor((to - 1) / BLOCK_BYTES)
    const unchecked = !this.#checked(first, last)
    if (unchecked) {
      from = first * BLOCK_BYTES
      const whole = from + buffer.length - (buffer.length % BLOCK_BYTES)
      to = Math.min(meta.length, whole, (last + 1) * BLOCK_BYTES)
    }
    const wanted = to - from
    let got = 0
    try {
      got = await readFully(this.#fd, buffer.subarray(0, wanted), BODY_OFFSET + from)
    } catch (error) {
      throw this.#damaged('cannot be read', error)
    }
    if (got !== wanted) throw this.#damaged('ends early')
    if (unchecked) this.#verify(buffer, from, to)
    return buffer.subarray(at - from, Math.min(to, limit) - from)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#entry.release()
  }

  #checked(first: number, last: number): boolean {
    const { verifyMs, now } = this.#options
    if (verifyMs === 0) return false
    const since = now() - verifyMs
    for (let block = first; block <= last; block++) if (this.#entry.checkedAt[block]! < since) return false
    return true
  }

  #verify(buffer: Buffer, from: number, to: number): void {
    const { table, checkedAt } = this.#entry
    const now = this.#options.now()
    let blocks = 0
    for (let at = from; at < to; at += BLOCK_BYTES) {
      const block = at / BLOCK_BYTES
      const bytes = buffer.subarray(at - from, Math.min(at + BLOCK_BYTES, to) - from)
      if (crc32(bytes) !== table[block]) throw this.#damaged(`has a wrong checksum in block ${block}`)
      checkedAt[block] = now
      blocks++
    }
    this.#options.onVerified(blocks)
  }

  #damaged(what: string, cause?: unknown): MillraceError {
    const { hash, meta } = this.#entry
    const error = damage(hash, what, cause)
    this.#options.onDamaged(hash, meta.id, error)
    return error
  }
}

/** A body that lies in memory. */
export function inMemory(body: Uint8Array): BodyReader {
  return { read: async (_buffer, at, end) => body.subarray(at, end), close: () => undefined }
}

export function damage(hash: string, what: string, cause?: unknown): MillraceError {
  return new MillraceError(`the cache file ${hash} ${what}`, { code: BODY_BROKEN, source: 'disk', retryable: true, cause })
}
