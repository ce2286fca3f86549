import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BLOCK_BYTES } from './body.js'
import {
  BODY_OFFSET,
  blockCount,
  bodyLengthOf,
  decodeHeader,
  decodeTable,
  encodeEntry,
  encodeHeader,
  encodeTable,
  fileBytes,
  fitsHeader,
  HEADER_BYTES,
  tableCrcOf,
  tableOffset,
} from './entry-format.js'
import { type EntryMeta, FIELD_NAME, FIELD_VALUE } from './entry-meta.js'

const plain: EntryMeta = {
  id: '0123456789abcdef',
  key: '/files/a',
  status: 200,
  headers: [['content-type', 'video/mp4']],
  length: 5,
  origin: 'o1',
  generation: 0,
  bornAt: 1,
  freshUntil: 2,
  staleWhileRevalidate: 0,
  staleIfError: 0,
}
const field = fc.tuple(
  fc.stringMatching(FIELD_NAME).map((name) => name.slice(0, 20)),
  fc.stringMatching(FIELD_VALUE).map((value) => value.slice(0, 60)),
)
const anyMeta: fc.Arbitrary<EntryMeta> = fc.record(
  {
    id: fc.stringMatching(/^[0-9a-f]{16}$/),
    key: fc.string({ maxLength: 300 }),
    status: fc.integer({ min: 200, max: 599 }),
    headers: fc.array(field, { maxLength: 12 }) as fc.Arbitrary<EntryMeta['headers']>,
    length: fc.nat(),
    origin: fc.stringMatching(/^[a-z0-9-]{1,32}$/),
    generation: fc.nat(),
    bornAt: fc.integer(),
    freshUntil: fc.integer(),
    staleWhileRevalidate: fc.nat(),
    staleIfError: fc.nat(),
    varies: fc.array(fc.stringMatching(/^[a-z-]{1,20}$/), { maxLength: 4 }),
  },
  {
    requiredKeys: [
      'id',
      'key',
      'status',
      'headers',
      'length',
      'origin',
      'generation',
      'bornAt',
      'freshUntil',
      'staleWhileRevalidate',
      'staleIfError',
    ],
  },
)

describe('an entry header', () => {
  it('is refused when any one byte of its block is another', () => {
    const whole = encodeHeader({ meta: plain, tableCrc: 7 })
    fc.assert(
      fc.property(fc.nat(HEADER_BYTES - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const block = Buffer.from(whole)
        block[at] = block[at]! ^ flip
        expect(decodeHeader(block)).toBeUndefined()
      }),
      { numRuns: 2000 },
    )
  })

  it('is refused when it is short, empty, or noise', () => {
    expect(decodeHeader(encodeHeader({ meta: plain, tableCrc: 7 }).subarray(1))).toBeUndefined()
    expect(decodeHeader(Buffer.alloc(HEADER_BYTES))).toBeUndefined()
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 100, maxLength: 100 }), (noise) => {
        const block = Buffer.alloc(HEADER_BYTES)
        block.write('MRCACHE2', 'latin1')
        block.set(noise, 8)
        expect(decodeHeader(block)).toBeUndefined()
      }),
    )
  })

  it('is refused when what it says is whole but no entry', () => {
    const wrong = { ...plain, status: 100 } as EntryMeta
    expect(decodeHeader(encodeHeader({ meta: wrong, tableCrc: 7 }))).toBeUndefined()
  })

  it('is not made of more than fits its block', () => {
    const large: EntryMeta = {
      ...plain,
      headers: [
        ['a', 'x'.repeat(2000)],
        ['b', 'y'.repeat(2048)],
      ],
    }
    expect(fitsHeader(large)).toBe(false)
    expect(() => encodeHeader({ meta: large, tableCrc: 0 })).toThrow(expect.objectContaining({ code: 'head-too-large' }))
  })

  it('comes back as it was written, always in one block', () => {
    fc.assert(
      fc.property(anyMeta.filter(fitsHeader), fc.nat(), (meta, tableCrc) => {
        const block = encodeHeader({ meta, tableCrc })
        expect(block.length).toBe(HEADER_BYTES)
        expect(decodeHeader(block)).toEqual({ meta, tableCrc })
      }),
    )
  })
})

describe('a table of checksums', () => {
  const header = (length: number, table: Buffer) => ({ meta: { ...plain, length }, tableCrc: tableCrcOf(table) })

  it('is refused when any one byte of it is another, or it is of another length', () => {
    const table = encodeTable([1, 2, 0xffffffff])
    const whole = header(3 * BLOCK_BYTES, table)
    expect(decodeTable(table, whole)).toEqual(Uint32Array.of(1, 2, 0xffffffff))
    expect(decodeTable(table.subarray(0, 8), whole)).toBeUndefined()
    fc.assert(
      fc.property(fc.nat(table.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Buffer.from(table)
        damaged[at] = damaged[at]! ^ flip
        expect(decodeTable(damaged, whole)).toBeUndefined()
      }),
    )
  })

  it.each([
    [0, 0],
    [1, 1],
    [BLOCK_BYTES, 1],
    [BLOCK_BYTES + 1, 2],
  ])('of a body of %i bytes has %i checksums', (length, blocks) => {
    const file = encodeEntry({ ...plain, length }, Buffer.alloc(length, 3))
    expect([blockCount(length), file.length]).toEqual([blocks, fileBytes(length)])
    const decoded = decodeHeader(file.subarray(0, BODY_OFFSET))!
    expect(decodeTable(file.subarray(tableOffset(length)), decoded)).toHaveLength(blocks)
  })
})

describe('the size of a file', () => {
  it('tells the length of its body', () => {
    fc.assert(fc.property(fc.nat(), (length) => bodyLengthOf(fileBytes(length)) === length))
  })

  it('is refused when no whole entry has it', () => {
    expect(bodyLengthOf(BODY_OFFSET - 1)).toBeUndefined()
    expect(bodyLengthOf(0)).toBeUndefined()
    expect(bodyLengthOf(BODY_OFFSET + 3)).toBeUndefined()
    expect(bodyLengthOf(fileBytes(BLOCK_BYTES) + 1)).toBeUndefined()
  })
})
