import { crc32 } from 'node:zlib'
import { MillraceError } from '@millrace/common/errors'
import { BLOCK_BYTES } from './body.js'
import { type EntryMeta, entryMetaSchema } from './entry-meta.js'

/**
 * A stored response is one file, named by its key's hash: a header block, the body, and a table of checksums.
 *
 *   0       8  magic "MRCACHE2" (the digit is the version)
 *   8       4  CRC-32 of bytes 12 to 4096
 *   12      4  CRC-32 of the table
 *   16      4  length of the JSON
 *   20      …  JSON of EntryMeta in UTF-8, then zeros
 *   4096    …  body
 *   then       one CRC-32 per BLOCK_BYTES of the body; the last block may be shorter
 *
 * Numbers are little endian. The header is written last, so a file without a valid one, or of another size than it says, is torn.
 */
export const HEADER_BYTES = 4096
export const BODY_OFFSET = HEADER_BYTES
const MAGIC = Buffer.from('MRCACHE2', 'latin1')
const CRC_AT = 8
const COVERED_AT = 12
const LENGTH_AT = 16
const JSON_AT = 20
const MAX_JSON = HEADER_BYTES - JSON_AT
/** File systems give space in blocks of this. */
const DISK_BLOCK = 4096

export interface EntryHeader {
  meta: EntryMeta
  /** What the table must have: see `decodeTable`. */
  tableCrc: number
}

/** Checksums of a body of this many bytes. */
export function blockCount(length: number): number {
  return Math.ceil(length / BLOCK_BYTES)
}

/** Where the table of a body of this many bytes begins. */
export function tableOffset(length: number): number {
  return BODY_OFFSET + length
}

/** Size of the whole file for a body of this many bytes. */
export function fileBytes(length: number): number {
  return BODY_OFFSET + length + 4 * blockCount(length)
}

/** Body bytes of a file of this size; undefined for a size that no whole entry has. */
export function bodyLengthOf(fileSize: number): number | undefined {
  const beyond = fileSize - BODY_OFFSET
  const length = beyond - 4 * Math.ceil(beyond / (BLOCK_BYTES + 4))
  return length >= 0 && fileBytes(length) === fileSize ? length : undefined
}

/** What a file of this size takes on disk, in blocks of 4096 bytes. */
export function diskBlocks(fileSize: number): number {
  return Math.ceil(fileSize / DISK_BLOCK)
}

export function blocksToBytes(blocks: number): number {
  return blocks * DISK_BLOCK
}

/** Whether a head can be stored at all; with a body length that is still unknown, leave room by the largest possible. */
export function fitsHeader(meta: EntryMeta): boolean {
  return Buffer.byteLength(JSON.stringify(meta)) <= MAX_JSON
}

/** @throws MillraceError `head-too-large` when the meta doesn't fit its block: ask `fitsHeader` first. */
export function encodeHeader({ meta, tableCrc }: EntryHeader): Buffer {
  const block = Buffer.alloc(HEADER_BYTES)
  const json = JSON.stringify(meta)
  const length = Buffer.byteLength(json)
  if (length > MAX_JSON) {
    throw new MillraceError('the head of a response is larger than its block in the cache', {
      code: 'head-too-large',
      source: 'origin',
      retryable: false,
    })
  }
  MAGIC.copy(block)
  block.writeUInt32LE(tableCrc, COVERED_AT)
  block.writeUInt32LE(length, LENGTH_AT)
  block.write(json, JSON_AT)
  block.writeUInt32LE(crc32(block.subarray(COVERED_AT)), CRC_AT)
  return block
}

/** @returns undefined for anything but a whole, undamaged header of this version. */
export function decodeHeader(block: Buffer): EntryHeader | undefined {
  if (block.length !== HEADER_BYTES || block.compare(MAGIC, 0, MAGIC.length, 0, MAGIC.length) !== 0) return undefined
  if (block.readUInt32LE(CRC_AT) !== crc32(block.subarray(COVERED_AT))) return undefined
  const length = block.readUInt32LE(LENGTH_AT)
  if (length > MAX_JSON) return undefined
  let raw: unknown
  try {
    raw = JSON.parse(block.toString('utf8', JSON_AT, JSON_AT + length))
  } catch {
    return undefined
  }
  const meta = entryMetaSchema.safeParse(raw).data
  return meta && { meta, tableCrc: block.readUInt32LE(COVERED_AT) }
}

export function encodeTable(checksums: readonly number[]): Buffer {
  const table = Buffer.allocUnsafe(4 * checksums.length)
  checksums.forEach((checksum, index) => {
    table.writeUInt32LE(checksum, 4 * index)
  })
  return table
}

export function tableCrcOf(table: Uint8Array): number {
  return crc32(table)
}

/** @returns one checksum per block of a body of `length` bytes; undefined when the table isn't the one of this header. */
export function decodeTable(table: Buffer, header: EntryHeader): Uint32Array | undefined {
  const blocks = blockCount(header.meta.length)
  if (table.length !== 4 * blocks || crc32(table) !== header.tableCrc) return undefined
  const checksums = new Uint32Array(blocks)
  for (let block = 0; block < blocks; block++) checksums[block] = table.readUInt32LE(4 * block)
  return checksums
}

/** Checksums a body as its chunks come. */
export class BlockChecksums {
  readonly #whole: number[] = []
  #crc = 0
  #filled = 0

  update(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const taken = Math.min(chunk.length - at, BLOCK_BYTES - this.#filled)
      this.#crc = crc32(taken === chunk.length ? chunk : chunk.subarray(at, at + taken), this.#crc)
      this.#filled += taken
      at += taken
      if (this.#filled === BLOCK_BYTES) this.#endBlock()
    }
  }

  /** The table; nothing can be added afterwards. */
  end(): Buffer {
    if (this.#filled > 0) this.#endBlock()
    return encodeTable(this.#whole)
  }

  #endBlock(): void {
    this.#whole.push(this.#crc)
    this.#crc = 0
    this.#filled = 0
  }
}

/** A whole entry's file. For what makes entries without a store: tests and benchmarks. */
export function encodeEntry(meta: EntryMeta, body: Uint8Array): Buffer {
  const checksums = new BlockChecksums()
  checksums.update(body)
  const table = checksums.end()
  return Buffer.concat([encodeHeader({ meta, tableCrc: tableCrcOf(table) }), body, table])
}
