import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ifRangeHolds, noneMatch, parseRange } from './range.js'

describe('parseRange', () => {
  it.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=5-2',
    'bytes=0-1,3-4',
    'items=0-1',
    'bytes=+1-2',
    'bytes=1e3-',
    'bytes=0x1-2',
  ])('ignores %s', (header) => expect(parseRange(header, 100)).toBeUndefined())

  it.each([
    ['bytes=100-', 100],
    ['bytes=100-200', 100],
    ['bytes=-0', 100],
    ['bytes=0-', 0],
    ['bytes=-5', 0],
  ])('cannot satisfy %s of %d bytes', (header, length) => expect(parseRange(header, length)).toBe('unsatisfiable'))

  it.each([
    ['bytes=0-0', 0, 0],
    ['bytes=10-19', 10, 19],
    ['BYTES=10-1000', 10, 99],
    ['bytes= 99- ', 99, 99],
    ['bytes=-1', 99, 99],
    ['bytes=-1000', 0, 99],
  ])('reads %s of 100 bytes', (header, first, last) => expect(parseRange(header, 100)).toEqual({ first, last }))

  it('never leaves the body, whatever it is given', () => {
    const header = fc.oneof(
      fc.string(),
      fc.tuple(fc.nat(), fc.nat()).map(([a, b]) => `bytes=${a}-${b}`),
      fc.nat().map((n) => `bytes=-${n}`),
    )
    fc.assert(
      fc.property(header, fc.nat(), (text, length) => {
        const range = parseRange(text, length)
        if (range === undefined || range === 'unsatisfiable') return
        expect(range.first).toBeGreaterThanOrEqual(0)
        expect(range.first).toBeLessThanOrEqual(range.last)
        expect(range.last).toBeLessThan(length)
      }),
    )
  })
})

describe('conditions', () => {
  it('If-Range needs the very same strong ETag', () => {
    expect([undefined, '"a"', ' "a" '].map((header) => ifRangeHolds(header, '"a"'))).toEqual([true, true, true])
    expect(['W/"a"', '"b"', '', 'Sun, 19 Nov 2000 08:52:00 GMT'].map((header) => ifRangeHolds(header, '"a"'))).toEqual([
      false,
      false,
      false,
      false,
    ])
  })

  it('If-None-Match compares weakly, in lists too', () => {
    expect(['"a"', 'W/"a"', '"x", W/"a"', '*'].map((header) => noneMatch(header, '"a"'))).toEqual([false, false, false, false])
    expect([undefined, '', '"b"', 'a', '"aa"'].map((header) => noneMatch(header, '"a"'))).toEqual([true, true, true, true, true])
  })
})
