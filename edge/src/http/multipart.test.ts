import { createHash } from 'node:crypto'
import { parseRanges } from '@millrace/common/http/range'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { multipart } from './multipart.js'

const BOUNDARY = '0123456789abcdef0123456789abcdef'

interface Part {
  head: string[]
  body: Buffer
}

/** RFC 2046 §5.1.1, read from the wire as a client would. */
function decode(bytes: Buffer, boundary: string): Part[] {
  const pieces: Part[] = []
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  for (let at = bytes.indexOf(delimiter); ; ) {
    const start = at + delimiter.length
    if (bytes.subarray(start, start + 2).toString() === '--') {
      expect(bytes.subarray(start).toString()).toBe('--\r\n')
      return pieces
    }
    const headEnd = bytes.indexOf('\r\n\r\n', start)
    at = bytes.indexOf(delimiter, headEnd + 2)
    pieces.push({
      head: bytes
        .subarray(start + 2, headEnd)
        .toString()
        .split('\r\n'),
      body: bytes.subarray(headEnd + 4, at),
    })
  }
}

it('has a head and exactly the asked bytes in each part, and says its length', () => {
  const spec = fc.tuple(fc.nat(1200), fc.nat(200)).map(([start, more]) => `${start}-${start + more}`)
  const header = fc.array(spec, { minLength: 2, maxLength: 8 }).map((specs) => `bytes=${specs.join(',')}`)
  let decoded = 0
  fc.assert(
    fc.property(header, fc.integer({ min: 200, max: 1200 }), fc.boolean(), (text, length, typed) => {
      const verdict = parseRanges(text, length)
      if (verdict.kind !== 'parts') return
      const whole = Buffer.concat(
        Array.from({ length: Math.ceil(length / 64) }, (_, n) => createHash('sha512').update(`${n}`).digest()),
      ).subarray(0, length)
      const { contentType, length: total, parts, end } = multipart(verdict.ranges, length, typed ? 'video/mp4' : undefined, BOUNDARY)
      const wire = Buffer.concat([...parts.flatMap(({ head, range }) => [head, whole.subarray(range.start, range.end + 1)]), end])
      expect([wire.length, contentType]).toEqual([total, `multipart/byteranges; boundary=${BOUNDARY}`])
      const read = decode(wire, BOUNDARY)
      expect(read.map(({ head }) => head)).toEqual(
        verdict.ranges.map(({ start, end: last }) => [
          ...(typed ? ['Content-Type: video/mp4'] : []),
          `Content-Range: bytes ${start}-${last}/${length}`,
        ]),
      )
      for (const [n, { body }] of read.entries()) {
        const { start, end: last } = verdict.ranges[n]!
        expect(body.equals(whole.subarray(start, last + 1))).toBe(true)
      }
      decoded++
    }),
  )
  expect(decoded).toBeGreaterThan(0)
})
