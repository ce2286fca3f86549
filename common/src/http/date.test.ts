import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatHttpDate, parseHttpDate } from './date.js'

const NOW = Date.UTC(2026, 5, 1)

describe('parseHttpDate', () => {
  it.each([
    '',
    '0',
    'Thu, 18 Aug 2050 02:01:18 UTC',
    'Thu, 18 Aug 2050 02:01:18 +0000',
    'Thu, 18 Aug 50 02:01:18 GMT',
    'Thu 18 Aug 2050 02:01:18 GMT',
    'Thu, 18  Aug  2050 02:01:18 GMT',
    'Thu, 18-Aug-2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 02.01.18 GMT',
    'Thu, 18 Aug 2050 2:01:18 GMT',
    'Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:19 GMT',
    ' Thu, 18 Aug 2050 02:01:18 GMT',
    'Thu, 31 Apr 2050 02:01:18 GMT',
    'Thu, 00 Apr 2050 02:01:18 GMT',
    'Thu, 18 Aug 2050 24:01:18 GMT',
    'Thu, 18 Aug 2050 02:60:18 GMT',
    'Thu, 18 Aug 2050 02:01:61 GMT',
    'Thu, 18-Aug-50 02:01:18 GMT',
    '2050-08-18T02:01:18Z',
    'Thu Aug 8 02:01:18 2050',
  ])('takes no %s', (text) => {
    expect(parseHttpDate(text, NOW)).toBeUndefined()
  })

  it.each([
    ['Sun, 06 Nov 1994 08:49:37 GMT', 784111777000],
    ['sUN, 06 nOV 1994 08:49:37 gmt', 784111777000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 784111777000],
    ['Sun Nov  6 08:49:37 1994', 784111777000],
    ['Fri Nov 16 08:49:37 2001', Date.UTC(2001, 10, 16, 8, 49, 37)],
    ['Sun, 21 Nov 2286 04:46:39 GMT', Date.UTC(2286, 10, 21, 4, 46, 39)],
    ['Sat, 31 Dec 2016 23:59:60 GMT', Date.UTC(2017, 0, 1)],
    ['Thu, 29 Feb 2024 00:00:00 GMT', Date.UTC(2024, 1, 29)],
    ['Wed, 01 Jan 0020 00:00:00 GMT', new Date(0).setUTCFullYear(20)],
  ])('reads %s', (text, expected) => {
    expect(parseHttpDate(text, NOW)).toBe(expected)
  })

  it('takes two digits for a year at most 50 years ahead', () => {
    expect(parseHttpDate('Thursday, 18-Aug-76 00:00:00 GMT', NOW)).toBe(Date.UTC(2076, 7, 18))
    expect(parseHttpDate('Thursday, 18-Aug-77 00:00:00 GMT', NOW)).toBe(Date.UTC(1977, 7, 18))
  })

  it('reads what it writes', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 253_402_300_799 }), (s) => parseHttpDate(formatHttpDate(s * 1000), NOW) === s * 1000))
  })

  it('never throws, and gives a number or nothing', () => {
    const dateLike = fc.stringMatching(/^(Mon|Sunday),? [0-9]{1,2}[ -](Jan|Feb|Xyz)[ -][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2}( GMT)?$/)
    fc.assert(
      fc.property(fc.oneof(fc.string(), dateLike), (text) => {
        const at = parseHttpDate(text, NOW)
        expect(at === undefined || Number.isSafeInteger(at)).toBe(true)
      }),
    )
  })
})
