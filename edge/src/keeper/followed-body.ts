import type { MillraceError } from '@millrace/common/errors'
import { BLOCK_BYTES, type BodyReader } from '../cache/body.js'
import { type FillMeta, headerOf } from '../cache/entry-meta.js'
import { OVERLAP_BYTES } from '../origin/continue-body.js'
import { isBroken } from '../refusal.js'

/** A body that may be lost with the process that fetches it, or with the disk that takes it. */
export interface LosableBody {
  meta: FillMeta
  body: BodyReader
}

/** Where a body is lost more often than this during one transfer, the rest is not waited for. */
const MAX_LOSSES = 3

/**
 * A body whose reader notices nothing when the keeper that fetches it dies, or its file fails or is gone before it was open here: the same
 * object is asked for again, and reading goes on where it stopped. As with origins, an equal strong ETag, an equal length and equal bytes
 * before the break tell that it is the same.
 */
export class FollowedBody implements BodyReader {
  readonly #again: () => Promise<LosableBody | undefined>
  #current: LosableBody
  #losses = 0

  /** @param again asks for the same object once more; what it gives is closed here */
  constructor(first: LosableBody, again: () => Promise<LosableBody | undefined>) {
    this.#current = first
    this.#again = again
  }

  read(buffer: Buffer, at: number, end: number): Promise<Uint8Array> {
    return this.#current.body.read(buffer, at, end).catch((error: unknown) => this.#goOn(buffer, at, end, error))
  }

  close(): void {
    this.#current.body.close()
  }

  async #goOn(buffer: Buffer, at: number, end: number, error: unknown): Promise<Uint8Array> {
    if (!isLost(error) || ++this.#losses > MAX_LOSSES) throw error
    // Why the rest is not to be had says less than the break itself.
    const next = await this.#again().catch(() => undefined)
    if (!next) throw error
    const same = isSame(this.#current.meta, next.meta) && (await agree(this.#current.body, next.body, at).catch(() => false))
    if (!same) {
      next.body.close()
      throw error
    }
    this.#current.body.close()
    this.#current = next
    return this.read(buffer, at, end)
  }
}

/** Not for an origin that broke off: what origins can give was tried in the fill. */
function isLost(error: unknown): boolean {
  return isBroken(error) && (error as MillraceError).source !== 'origin'
}

/** RFC 9110 §15.3.7.3: parts may be combined "if they all have the same strong validator". */
function isSame(one: FillMeta, other: FillMeta): boolean {
  const etag = headerOf(one, 'etag')
  if (etag === undefined || !/^"[^"]*"$/.test(etag) || one.length === undefined || one.length !== other.length) return false
  return etag === headerOf(other, 'etag') && headerOf(one, 'content-encoding') === headerOf(other, 'content-encoding')
}

/** Whether both have the same bytes just before `at`. @throws when one can't be read there */
async function agree(one: BodyReader, other: BodyReader, at: number): Promise<boolean> {
  const start = Math.max(0, at - OVERLAP_BYTES)
  return (await bytesOf(one, start, at)).equals(await bytesOf(other, start, at))
}

async function bytesOf(body: BodyReader, start: number, end: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(BLOCK_BYTES)
  const parts: Buffer[] = []
  for (let at = start; at < end; ) {
    const view = await body.read(buffer, at, end)
    if (view.length === 0) break
    parts.push(Buffer.from(view))
    at += view.length
  }
  return Buffer.concat(parts)
}
