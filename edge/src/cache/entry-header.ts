import { createHash } from 'node:crypto'
import { z } from 'zod'

/**
 * A stored response is one file: this header in its first 4096 bytes, then the body.
 *
 *   0   8  magic "MRCACHE1" (the digit is the version)
 *   8   4  length of the JSON, big endian
 *   12  16 first 16 bytes of the JSON's SHA-256
 *   28  …  JSON of EntryMeta, then zeros
 *
 * The header is written after the body is whole; a file without a valid one, or of another size than it says, is torn.
 */
export const HEADER_BYTES = 4096
const MAGIC = Buffer.from('MRCACHE1', 'latin1')
const JSON_AT = 28

/** Of a header block's fixed size: longer values are not kept, nor what isn't ASCII. */
export const KEPT_VALUE = /^[\x20-\x7e]{0,256}$/
const headerValue = z.string().regex(KEPT_VALUE)

const entryMetaSchema = z.strictObject({
  path: z.string().max(512),
  contentType: headerValue,
  etag: headerValue.optional(),
  lastModified: headerValue.optional(),
  cacheControl: headerValue.optional(),
  /** Body bytes. */
  length: z.number().int().nonnegative(),
  /** Unix milliseconds: when the origin made the response, and until when it is fresh. */
  bornAt: z.number().int(),
  freshUntil: z.number().int().positive(),
  origin: z.string().regex(/^[a-z0-9-]{1,32}$/),
})
export type EntryMeta = z.infer<typeof entryMetaSchema>

/** @throws RangeError when the meta doesn't fit its block: the schema's bounds keep it far below. */
export function encodeEntryHeader(meta: EntryMeta): Buffer {
  const json = Buffer.from(JSON.stringify(meta))
  if (JSON_AT + json.length > HEADER_BYTES) throw new RangeError('entry meta is larger than its header block')
  const block = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(block)
  block.writeUInt32BE(json.length, 8)
  checksum(json).copy(block, 12)
  json.copy(block, JSON_AT)
  return block
}

/** @returns undefined for anything but a whole, undamaged header of this version. */
export function decodeEntryHeader(block: Buffer): EntryMeta | undefined {
  if (block.length !== HEADER_BYTES || block.compare(MAGIC, 0, MAGIC.length, 0, MAGIC.length) !== 0) return undefined
  const length = block.readUInt32BE(8)
  if (length > HEADER_BYTES - JSON_AT) return undefined
  const json = block.subarray(JSON_AT, JSON_AT + length)
  if (checksum(json).compare(block, 12, JSON_AT) !== 0) return undefined
  let raw: unknown
  try {
    raw = JSON.parse(json.toString())
  } catch {
    return undefined
  }
  return entryMetaSchema.safeParse(raw).data
}

function checksum(json: Buffer): Buffer {
  return createHash('sha256').update(json).digest().subarray(0, 16)
}
