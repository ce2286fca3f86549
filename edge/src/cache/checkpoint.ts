import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { DiskLayout } from './disks.js'
import type { DiskIndex, IndexKey } from './index.js'

/**
 * The order of use on one disk, least recently used first:
 *
 *   0   8  magic "MRINDEX1"
 *   8   4  records
 *   12  4  CRC-32 of the records
 *   16  …  records: 16 bytes of the hash, 4 of the blocks its file takes; the later of two for one hash counts
 *
 * Numbers are little endian. The header is written last.
 */
const MAGIC = Buffer.from('MRINDEX1', 'latin1')
const HEADER_BYTES = 16
const RECORD_BYTES = 20
/** Records of a slice: a millisecond or two of work. */
const SLICE = 4096

/**
 * A slice at a time, so that the process goes on answering. Replaces the older one at once, or not at all, also when the power fails: what
 * has its name is on the disk. Its time is the one when it was begun: what changed since may not be in it.
 *
 * @param path of the file until it is whole
 */
export async function writeCheckpoint(layout: DiskLayout, index: DiskIndex, path: string): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    const { mtime } = await file.stat()
    await writeRecords(file, index)
    await file.utimes(mtime, mtime)
    await file.datasync()
    await file.close()
    await rename(path, layout.index)
  } catch (error) {
    // A second close of a FileHandle does nothing.
    await file.close()
    await rm(path, { force: true })
    throw error
  }
}

async function writeRecords(file: FileHandle, index: DiskIndex): Promise<void> {
  const buffer = Buffer.allocUnsafe(RECORD_BYTES * SLICE)
  let filled = 0
  let count = 0
  let crc = 0
  const flush = async () => {
    const part = buffer.subarray(0, filled)
    crc = crc32(part, crc)
    await writeAll(file, part, HEADER_BYTES + RECORD_BYTES * count)
    count += filled / RECORD_BYTES
    filled = 0
  }
  // What the walk is made to visit between two slices waits here: see `Walk`.
  const spill: [IndexKey, number][] = []
  const put = (key: IndexKey, blocks: number) => {
    buffer.write(key, filled, 16, 'latin1')
    filled = buffer.writeUInt32LE(blocks, filled + 16)
  }
  let slicing = false
  const walk = index.walk((key, blocks) => {
    if (slicing) put(key, blocks)
    else spill.push([key, blocks])
  })
  try {
    // Entries that are used meanwhile are seen again; twice as many as there were is the end of it.
    const most = 2 * index.objects + SLICE
    for (let more = true; more && count < most; ) {
      for (const [key, blocks] of spill.splice(0, SLICE)) put(key, blocks)
      slicing = true
      more = walk.next(SLICE - filled / RECORD_BYTES) || spill.length > 0
      slicing = false
      await flush()
    }
  } finally {
    walk.stop()
  }
  const header = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt32LE(count, 8)
  header.writeUInt32LE(crc, 12)
  await writeAll(file, header, 0)
}

/**
 * Adds the entries of the checkpoint to an empty index.
 *
 * @returns when it was begun, in Unix milliseconds; undefined when there is no whole one. The index is empty then.
 * @throws the disk's error; the index is empty then, too.
 */
export async function loadCheckpoint(layout: DiskLayout, index: DiskIndex): Promise<number | undefined> {
  let file: FileHandle
  try {
    file = await open(layout.index, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    if (!(await isWhole(file))) return undefined
    await eachPart(file, (part) => {
      for (let at = 0; at < part.length; at += RECORD_BYTES) {
        const blocks = part.readUInt32LE(at + 16)
        if (blocks > 0) index.add(part.toString('latin1', at, at + 16), blocks)
      }
    })
    return (await file.stat()).mtimeMs
  } catch (error) {
    empty(index)
    throw error
  } finally {
    await file.close()
  }
}

function empty(index: DiskIndex): void {
  const keys: IndexKey[] = []
  index.walk((key) => keys.push(key)).next(Number.POSITIVE_INFINITY)
  for (const key of keys) index.left(index.remove(key))
}

async function isWhole(file: FileHandle): Promise<boolean> {
  const header = Buffer.alloc(HEADER_BYTES)
  const { bytesRead } = await file.read(header, 0, HEADER_BYTES, 0)
  if (bytesRead < HEADER_BYTES || header.compare(MAGIC, 0, MAGIC.length, 0, MAGIC.length) !== 0) return false
  const { size } = await file.stat()
  if (size !== HEADER_BYTES + RECORD_BYTES * header.readUInt32LE(8)) return false
  let crc = 0
  await eachPart(file, (part) => {
    crc = crc32(part, crc)
  })
  return crc === header.readUInt32LE(12)
}

/** Whole records, a slice at a time. */
async function eachPart(file: FileHandle, use: (part: Buffer) => void): Promise<void> {
  const buffer = Buffer.allocUnsafe(RECORD_BYTES * SLICE)
  for (let position = HEADER_BYTES; ; ) {
    let filled = 0
    while (filled < buffer.length) {
      const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    const whole = filled - (filled % RECORD_BYTES)
    if (whole === 0) return
    use(buffer.subarray(0, whole))
    position += whole
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}
