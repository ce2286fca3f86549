import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ByteRange, contentRange, ifRangeHolds, parseRange, parseRanges } from './range.js'

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

describe('parseRanges', () => {
  it.each([
    [undefined],
    ['bytes='],
    ['bytes=,,'],
    ['bytes=0-1,x'],
    ['bytes=0-1,5-2'],
    ['items=0-1,200-201'],
    [`bytes=${Array.from({ length: 9 }, (_, n) => `${n * 100}-${n * 100}`).join(',')}`],
    [`bytes=0-0,${' '.repeat(300)}500-501`],
    ['bytes=0-,0-,0-'],
    ['bytes=0-600,500-999'],
  ])('answers %s with the whole', (header) => {
    expect(parseRanges(header, 1000)).toEqual({ kind: 'whole' })
  })

  it.each([['bytes=1000-,2000-2001'], ['bytes=-0, 1000-']])('finds %s unsatisfiable', (header) => {
    expect(parseRanges(header, 1000)).toEqual({ kind: 'unsatisfiable' })
  })

  it.each([
    ['bytes=5-9', [[5, 9]]],
    ['bytes=5-9,1000-', [[5, 9]]],
    ['bytes=0-9,5-20', [[0, 20]]],
    ['bytes=0-9,10-19', [[0, 19]]],
    ['bytes=0-9,89-99', [[0, 99]]],
    ['bytes=0-9,300-309,89-220', [[0, 309]]],
  ])('makes one part of %s', (header, [range]) => {
    expect(parseRanges(header, 1000)).toEqual({ kind: 'part', range: { start: range![0], end: range![1] } })
  })

  it.each([
    [
      'bytes=0-9,90-99',
      [
        [0, 9],
        [90, 99],
      ],
    ],
    [
      'bytes= 500-599 ,, -1,0-0',
      [
        [500, 599],
        [999, 999],
        [0, 0],
      ],
    ],
    [
      'bytes=900-,0-9,400-409,880-899',
      [
        [880, 999],
        [0, 9],
        [400, 409],
      ],
    ],
  ])('keeps the order of %s', (header, expected) => {
    expect(parseRanges(header, 1000)).toEqual({ kind: 'parts', ranges: expected.map(([start, end]) => ({ start, end })) })
  })

  it('agrees with parseRange on a single range', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^bytes=[0-9]{0,4}-[0-9]{0,4}$/), fc.nat(2000), (text, length) => {
        expect(parseRanges(text, length)).toEqual(parseRange(text, length))
      }),
    )
  })

  it('gives parts inside the body that lie apart and cover what was asked, whatever it is fed', () => {
    const spec = fc.oneof(
      fc.tuple(fc.nat(1200), fc.nat(300)).map(([start, more]) => `${start}-${start + more}`),
      fc.nat(300).map((n) => `-${n}`),
      fc.nat(1200).map((n) => `${n}-`),
    )
    const header = fc.oneof(
      { weight: 4, arbitrary: fc.array(spec, { minLength: 1, maxLength: 9 }).map((specs) => `bytes=${specs.join(', ')}`) },
      fc.stringMatching(/^bytes=[0-9,\- ]{0,40}$/),
      fc.string(),
    )
    fc.assert(
      fc.property(header, fc.nat(1000), (text, length) => {
        const verdict = parseRanges(text, length)
        if (verdict.kind !== 'parts') return
        const sorted = [...verdict.ranges].sort((a, b) => a.start - b.start)
        expect(sorted.length >= 2 && sorted.length <= 8).toBe(true)
        let before = Number.NEGATIVE_INFINITY
        for (const { start, end } of sorted) {
          expect(start > before + 80 && start <= end && end < length).toBe(true)
          before = end
        }
        const covers = (range: ByteRange) => sorted.some(({ start, end }) => start <= range.start && range.end <= end)
        for (const one of text.slice(6).split(',')) {
          const single = parseRange(`bytes=${one}`, length)
          if (single.kind === 'part') expect(covers(single.range)).toBe(true)
        }
      }),
    )
  })
})

it('writes Content-Range', () => {
  expect([contentRange({ start: 1, end: 2 }, 10), contentRange(undefined, 10)]).toEqual(['bytes 1-2/10', 'bytes */10'])
})

describe('ifRangeHolds', () => {
  const modified = Date.UTC(2000, 10, 19, 8, 52, 0)
  const validators = { etag: '"a"', lastModified: 'Sun, 19 Nov 2000 08:52:00 GMT', receivedAt: modified + 1000 }
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
  it.each([
    ['unknown', undefined],
    ['in the same second', modified + 999],
    ['before it', modified - 60_000],
  ])('never holds for a date when the response was made %s: it may have changed twice in that second', (_when, receivedAt) => {
    expect(ifRangeHolds(validators.lastModified, { ...validators, receivedAt })).toBe(false)
    expect(ifRangeHolds('"a"', { ...validators, receivedAt })).toBe(true)
  })
  it('never holds for a date that is none', () => {
    expect(ifRangeHolds('yesterday', { ...validators, lastModified: 'yesterday' })).toBe(false)
  })
  it('never holds for a weak stored ETag', () => {
    expect(ifRangeHolds('W/"a"', { etag: 'W/"a"' })).toBe(false)
  })
  it('never holds where there is no validator', () => {
    expect(ifRangeHolds('"a"', {})).toBe(false)
  })
})
