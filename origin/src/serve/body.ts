import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { MillraceError } from '@millrace/common/errors'
import type { ByteRange } from '../packager/packager.js'

/** A body as bytes in memory followed by parts of one file. */
export interface Body {
  head: Buffer
  file?: { path: string; ranges: ByteRange[] }
}

/** The positions `first` to `last`, both included, of a body. */
export function sliceBody(body: Body, first: number, last: number): Body {
  const head = body.head.subarray(Math.min(first, body.head.length), Math.min(last + 1, body.head.length))
  if (!body.file) return { head }
  const ranges: ByteRange[] = []
  let position = body.head.length
  for (const range of body.file.ranges) {
    const from = Math.max(first, position)
    const to = Math.min(last + 1, position + range.length)
    if (from < to) ranges.push({ offset: range.offset + from - position, length: to - from })
    position += range.length
  }
  return ranges.length === 0 ? { head } : { head, file: { path: body.file.path, ranges } }
}

const CHUNK = 512 * 1024

/** Opens the file of a body, never through a link. */
export function openBody(body: Body): Promise<FileHandle> | undefined {
  return body.file && open(body.file.path, constants.O_RDONLY | constants.O_NOFOLLOW)
}

/**
 * The bytes of a body, read as the client takes them.
 *
 * @throws MillraceError `short-read` when the file ends early: the answer must then be cut, never be filled up.
 */
export async function* readBody(body: Body, file: FileHandle | undefined): AsyncGenerator<Buffer> {
  if (body.head.length > 0) yield body.head
  if (!body.file || !file) return
  for (const { offset, length } of body.file.ranges) {
    for (let done = 0; done < length; ) {
      // A chunk belongs to the socket until it's sent, so each has a buffer of its own.
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK, length - done))
      const { bytesRead } = await file.read(buffer, 0, buffer.length, offset + done)
      if (bytesRead === 0) {
        throw new MillraceError(`${body.file.path} ends at ${offset + done}`, { code: 'short-read', source: 'disk', retryable: false })
      }
      done += bytesRead
      yield bytesRead === buffer.length ? buffer : buffer.subarray(0, bytesRead)
    }
  }
}
