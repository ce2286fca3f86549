import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Body, sliceBody } from './body.js'

const FILE = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
const bytesOf = (body: Body) =>
  Buffer.concat([body.head, ...(body.file?.ranges ?? []).map(({ offset, length }) => FILE.subarray(offset, offset + length))])

describe('sliceBody', () => {
  it('gives what a slice of the whole body would, over head and any number of ranges', () => {
    const range = fc
      .nat(200)
      .chain((offset) => fc.record({ offset: fc.constant(offset), length: fc.integer({ min: 1, max: 256 - offset }) }))
    const bodies = fc.record({ head: fc.uint8Array({ maxLength: 40 }), ranges: fc.array(range, { maxLength: 5 }) })
    fc.assert(
      fc.property(bodies, fc.nat(400), fc.nat(400), ({ head, ranges }, first, count) => {
        const body: Body = { head: Buffer.from(head), file: { path: '/f', ranges } }
        expect(bytesOf(sliceBody(body, first, first + count))).toEqual(bytesOf(body).subarray(first, first + count + 1))
      }),
    )
  })

  it('drops the file when nothing of it is asked for', () => {
    const body: Body = { head: Buffer.from('head'), file: { path: '/f', ranges: [{ offset: 0, length: 9 }] } }
    expect(sliceBody(body, 1, 2)).toEqual({ head: Buffer.from('ea') })
  })
})
