import { type ByteRange, contentRange } from '@millrace/common/http/range'

/** A body of several ranges (RFC 9110 §15.3.7.2, §14.6): for each its head, then its bytes; then the end. */
export interface Multipart {
  contentType: string
  /** Exactly what the whole body takes, in bytes. */
  length: number
  parts: { head: Buffer; range: ByteRange }[]
  end: Buffer
}

/**
 * "Within the header area of each body part in the multipart content, the server MUST generate a Content-Range header field", and it SHOULD
 * repeat the Content-Type of the whole. The 206 itself has no Content-Range.
 *
 * @param length of the whole representation
 * @param boundary random enough to stand in none of its bytes: 32 hex digits
 */
export function multipart(ranges: readonly ByteRange[], length: number, contentType: string | undefined, boundary: string): Multipart {
  const type = contentType === undefined ? '' : `Content-Type: ${contentType}\r\n`
  const parts = ranges.map((range) => ({
    head: Buffer.from(`\r\n--${boundary}\r\n${type}Content-Range: ${contentRange(range, length)}\r\n\r\n`, 'latin1'),
    range,
  }))
  const end = Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1')
  const bytes = parts.reduce((sum, { head, range }) => sum + head.length + range.end - range.start + 1, end.length)
  return { contentType: `multipart/byteranges; boundary=${boundary}`, length: bytes, parts, end }
}
