import { createHash } from 'node:crypto'

const BLOCK = 64

/**
 * Bytes that tell by themselves of which path they are and where they stand: 64-byte blocks of the path's SHA-512, the first four bytes
 * of each replaced by its offset. A byte of another object, of another place or of nowhere shows.
 */
export function bytesOf(path: string, length: number): Buffer {
  const block = createHash('sha512').update(path).digest()
  const body = Buffer.alloc(length)
  for (let at = 0; at < length; at += BLOCK) {
    block.writeUInt32BE(at, 0)
    block.copy(body, at)
  }
  return body
}
