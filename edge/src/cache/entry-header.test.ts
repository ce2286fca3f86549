import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeEntryHeader, type EntryMeta, encodeEntryHeader, HEADER_BYTES } from './entry-header.js'

const value = fc.stringMatching(/^[\x20-\x7e]{0,256}$/)
const meta: fc.Arbitrary<EntryMeta> = fc.record(
  {
    path: fc.stringMatching(/^\/[a-z0-9/._-]{1,200}$/),
    contentType: value,
    etag: value,
    lastModified: value,
    cacheControl: value,
    length: fc.nat(),
    bornAt: fc.nat(),
    freshUntil: fc.integer({ min: 1 }),
    origin: fc.stringMatching(/^[a-z0-9-]{1,32}$/),
  },
  { requiredKeys: ['path', 'contentType', 'length', 'bornAt', 'freshUntil', 'origin'] },
)
const plain: EntryMeta = { path: '/a', contentType: 'video/mp4', length: 5, bornAt: 1, freshUntil: 2, origin: 'o1' }

describe('an entry header', () => {
  it('is refused when any one bit of what is used is flipped', () => {
    const used = 28 + JSON.stringify(plain).length
    fc.assert(
      fc.property(fc.nat(used * 8 - 1), (bit) => {
        const block = encodeEntryHeader(plain)
        block[bit >> 3] = block[bit >> 3]! ^ (1 << (bit & 7))
        expect(decodeEntryHeader(block)).toBeUndefined()
      }),
    )
  })

  it('is refused when it is short, empty, or noise', () => {
    expect(decodeEntryHeader(encodeEntryHeader(plain).subarray(1))).toBeUndefined()
    expect(decodeEntryHeader(Buffer.alloc(HEADER_BYTES))).toBeUndefined()
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 100, maxLength: 100 }), (noise) => {
        const block = Buffer.alloc(HEADER_BYTES)
        block.write('MRCACHE1', 'latin1')
        block.set(noise, 8)
        expect(decodeEntryHeader(block)).toBeUndefined()
      }),
    )
  })

  it('comes back as it was written, always in one block', () => {
    fc.assert(
      fc.property(meta, (given) => {
        const block = encodeEntryHeader(given)
        expect(block.length).toBe(HEADER_BYTES)
        expect(decodeEntryHeader(block)).toEqual(given)
      }),
    )
  })
})
