import { type FileHandle, open } from 'node:fs/promises'
import { MillraceError } from '@millrace/common/errors'
import { badMedia, boxHeader } from './boxes.js'

/** 12 hours of 60 fps have about 32 MiB of tables. */
const MAX_MOOV = 64 * 2 ** 20
const MAX_TOP_LEVEL_BOXES = 64

/**
 * The payload of a file's `moov`, by positioned reads: whatever else the file holds is stepped over, not read.
 *
 * @throws MillraceError `bad-media`; `media-unreadable` (disk, retryable) when the file can't be read at all.
 */
export async function readMoov(path: string): Promise<{ moov: Buffer; fileBytes: number }> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    const { size } = await file.stat()
    return { moov: await findMoov(file, size), fileBytes: size }
  } catch (error) {
    if (error instanceof MillraceError) throw error
    throw new MillraceError('a media file cannot be read', {
      code: 'media-unreadable',
      source: 'disk',
      retryable: true,
      status: 500,
      cause: error,
    })
  } finally {
    await file?.close()
  }
}

async function findMoov(file: FileHandle, fileBytes: number): Promise<Buffer> {
  let at = 0
  for (let count = 0; at < fileBytes; count++) {
    if (count === MAX_TOP_LEVEL_BOXES) throw badMedia(`no box 'moov' among the first ${MAX_TOP_LEVEL_BOXES}`)
    const start = await readAt(file, at, Math.min(16, fileBytes - at))
    const { type, header, size } = boxHeader(start, 0, fileBytes - at)
    if (type === 'moov') {
      if (size > MAX_MOOV) throw badMedia(`a box 'moov' of ${size} bytes`)
      return readAt(file, at + header, size - header)
    }
    at += size
  }
  throw badMedia("no box 'moov'")
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(buffer, done, length - done, position + done)
    if (bytesRead === 0) throw badMedia('the file ends early')
    done += bytesRead
  }
  return buffer
}
