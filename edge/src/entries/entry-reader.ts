import { fstatSync, open, read } from 'node:fs'
import { crc32 } from 'node:zlib'
import { BODY_OFFSET, blockCount, bodyLengthOf, decodeHeader, decodeTable, type EntryHeader } from '../cache/entry-format.js'
import type { EntryMeta } from '../cache/entry-meta.js'

/** A file up to this size is read at once, body and all: one turn of the thread pool costs more than the bytes. */
const WHOLE_BYTES = 64 << 10

/** What is known of an entry when its file was opened. */
export interface ReadEntry {
  meta: EntryMeta
  table: Uint32Array
  /** The file's ctime; Unix milliseconds. */
  changedAt: number
  /** The body, checked, where the file is small. */
  whole: Uint8Array | undefined
}

/** Why a file is no entry of its key; `id` as far as its header tells. */
export interface Damage {
  damage: string
  id: string
}

/** Reads header and table of the open file, and checks them. @throws the disk's error */
export async function readEntry(fd: number, keyText: string): Promise<ReadEntry | Damage> {
  const { size, ctimeMs } = fstatSync(fd)
  const length = bodyLengthOf(size)
  if (length === undefined) return { damage: 'has no whole header', id: '' }
  const parts = size <= WHOLE_BYTES ? await readSmall(fd, size, length) : await readEnds(fd, length)
  if (!parts) return { damage: 'ends early', id: '' }
  const header = decodeHeader(parts.header) ?? (await readHeaderAgain(fd))
  if (!header || header.meta.key !== keyText) return { damage: 'has no valid header', id: header?.meta.id ?? '' }
  const { meta } = header
  if (meta.length !== length) return { damage: 'is not as long as its header says', id: meta.id }
  const table = decodeTable(parts.table, header)
  if (!table) return { damage: 'has a damaged table of checksums', id: meta.id }
  const { body } = parts
  if (body && body.length > 0 && crc32(body) !== table[0]) return { damage: 'has a wrong checksum in block 0', id: meta.id }
  return { meta, table, changedAt: ctimeMs, whole: body }
}

/** @returns undefined when there is no such file. @throws the disk's error */
export function openFile(path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    open(path, 'r', (error, fd) => {
      if (!error) resolve(fd)
      else if (error.code === 'ENOENT') resolve(undefined)
      else reject(error)
    })
  })
}

/** @returns fewer bytes than asked for only at the file's end */
export function readFully(fd: number, target: Buffer, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let done = 0
    const next = () => {
      read(fd, target, done, target.length - done, position + done, (error, bytes) => {
        if (error) return reject(error)
        done += bytes
        if (bytes === 0 || done === target.length) resolve(done)
        else next()
      })
    }
    if (target.length === 0) resolve(0)
    else next()
  })
}

interface Parts {
  header: Buffer
  table: Buffer
  body: Buffer | undefined
}

async function readSmall(fd: number, size: number, length: number): Promise<Parts | undefined> {
  const file = Buffer.allocUnsafeSlow(size)
  if ((await readFully(fd, file, 0)) !== size) return undefined
  const end = BODY_OFFSET + length
  return { header: file.subarray(0, BODY_OFFSET), body: file.subarray(BODY_OFFSET, end), table: file.subarray(end) }
}

async function readEnds(fd: number, length: number): Promise<Parts | undefined> {
  const header = Buffer.allocUnsafe(BODY_OFFSET)
  const table = Buffer.allocUnsafe(4 * blockCount(length))
  const [first, last] = await Promise.all([readFully(fd, header, 0), readFully(fd, table, BODY_OFFSET + length)])
  return first === header.length && last === table.length ? { header, table, body: undefined } : undefined
}

/** A new head may be being written in its place just now. */
async function readHeaderAgain(fd: number): Promise<EntryHeader | undefined> {
  const block = Buffer.allocUnsafe(BODY_OFFSET)
  return (await readFully(fd, block, 0)) === BODY_OFFSET ? decodeHeader(block) : undefined
}
