import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { contentRange, ifRangeHolds, parseRange } from './range.js'

describe('parseRange', () => {
  it.each([
    'bytes=',
    'bytes=-',
    'bytes=a-b',
    'bytes=5-2',
    'bytes=0-1,3-4',
    'items=0-1',
    'bytes 0-1',
    'bytes=0x1-2',
    'bytes=+1-2',
    'bytes=1.5-2',
    'bytes=--1',
    '',
    `bytes=0-${'9'.repeat(80)}`,
  ])('ignores what it does not understand: %s', (header) => {
    expect(parseRange(header, 100)).toEqual({ kind: 'whole' })
  })

  it.each([
    ['bytes=100-', 100],
    ['bytes=100-200', 100],
    ['bytes=-0', 100],
    ['bytes=0-', 0],
    ['bytes=-5', 0],
    ['bytes=99999999999999999999-', 100],
  ])('finds %s of %i bytes unsatisfiable', (header, length) => {
    expect(parseRange(header, length)).toEqual({ kind: 'unsatisfiable' })
  })

  it.each([
    ['bytes=0-0', 0, 0],
    ['bytes=10-', 10, 99],
    ['bytes=10-500', 10, 99],
    ['bytes=-1', 99, 99],
    ['bytes=-500', 0, 99],
    ['BYTES=1-2', 1, 2],
    ['bytes= 1-2 ', 1, 2],
  ])('reads %s', (header, start, end) => {
    expect(parseRange(header, 100)).toEqual({ kind: 'part', range: { start, end } })
  })

  it('gives only ranges inside the body, whatever it is fed', () => {
    const header = fc.oneof(
      fc.string(),
      fc.tuple(fc.nat(), fc.nat()).map(([a, b]) => `bytes=${a}-${b}`),
      fc.bigInt({ min: 0n, max: 10n ** 30n }).map((n) => `bytes=-${n}`),
      fc.stringMatching(/^bytes=[0-9,\- ]{0,20}$/),
    )
    fc.assert(
      fc.property(header, fc.nat(1000), (text, length) => {
        const verdict = parseRange(text, length)
        if (verdict.kind !== 'part') return
        const { start, end } = verdict.range
        expect(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end < length).toBe(true)
      }),
    )
  })
})

it('writes Content-Range', () => {
  expect([contentRange({ start: 1, end: 2 }, 10), contentRange(undefined, 10)]).toEqual(['bytes 1-2/10', 'bytes */10'])
})

describe('ifRangeHolds', () => {
  const validators = { etag: '"a"', lastModified: 'Sun, 19 Nov 2000 08:52:00 GMT' }
  it.each([
    ['W/"a"', false],
    ['"b"', false],
    ['', false],
    ['Sun, 19 Nov 2000 08:52:01 GMT', false],
    ['"a"', true],
    ['Sun, 19 Nov 2000 08:52:00 GMT', true],
    [undefined, true],
  ])('%s: %s', (header, holds) => {
    expect(ifRangeHolds(header, validators)).toBe(holds)
  })
  it('never holds for a weak stored ETag', () => {
    expect(ifRangeHolds('W/"a"', { etag: 'W/"a"' })).toBe(false)
  })
  it('never holds where there is no validator', () => {
    expect(ifRangeHolds('"a"', {})).toBe(false)
  })
})
