import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isMissing } from './disk-errors.js'
import { decodeHeader, type EntryHeader, encodeHeader, fileBytes, HEADER_BYTES } from './entry-format.js'
import type { EntryMeta } from './entry-meta.js'

/** @returns undefined when there is no file, or it isn't an entry of the size that its header says. */
export function readEntryHeader(path: string): Promise<EntryHeader | undefined> {
  return withFile(path, 'r', async (file) => {
    const header = await readHeader(file)
    return header && (await file.stat()).size === fileBytes(header.meta.length) ? header : undefined
  })
}

/**
 * Writes the header block in place: a page of the page cache changes at once, so a crash of this process leaves the one or the other. Who
 * reads it just then may see parts of both, which the checksum tells.
 *
 * @returns false when the file isn't that of the body with this id
 */
export async function rewriteEntryHeader(path: string, meta: EntryMeta): Promise<boolean> {
  const done = await withFile(path, 'r+', async (file) => {
    const header = await readHeader(file)
    if (header?.meta.id !== meta.id || header.meta.key !== meta.key || header.meta.length !== meta.length) return false
    await file.write(encodeHeader({ meta, tableCrc: header.tableCrc }), 0, HEADER_BYTES, 0)
    return true
  })
  return done ?? false
}

/** Most folders are there already: one is made when the first entry needs it. */
export async function renameInto(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if (!isMissing(error)) throw error
    // Only the last folder: when the ones above are gone, so is the disk.
    await mkdir(dirname(to), { mode: 0o700 }).catch((failure: NodeJS.ErrnoException) => {
      if (failure.code !== 'EEXIST') throw failure
    })
    await rename(from, to)
  }
}

/** Proves that files can be made, written to the disk itself, and deleted. */
export async function probeFile(path: string): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    await file.write('probe')
    await file.datasync()
  } finally {
    await file.close()
    await rm(path, { force: true })
  }
}

async function withFile<T>(path: string, flags: 'r' | 'r+', use: (file: FileHandle) => Promise<T>): Promise<T | undefined> {
  let file: FileHandle
  try {
    file = await open(path, flags)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}

async function readHeader(file: FileHandle): Promise<EntryHeader | undefined> {
  const block = Buffer.allocUnsafe(HEADER_BYTES)
  const { bytesRead } = await file.read(block, 0, HEADER_BYTES, 0)
  return bytesRead === HEADER_BYTES ? decodeHeader(block) : undefined
}
