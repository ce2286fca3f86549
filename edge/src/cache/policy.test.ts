import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judge, parseCacheControl } from './policy.js'

const NOW = 1_700_000_000_000
const DAY = 86_400_000
const judged = (headers: Record<string, string>, status = 200, length: number | undefined = 100) =>
  judge({ status, headers, length }, 'segment', NOW, 1000)

describe('judge', () => {
  it.each([201, 204, 206, 301, 304, 403, 404, 500])('stores no %i', (status) => {
    expect(judged({}, status)).toEqual({ store: false, reason: 'status' })
  })

  it.each(['no-store', 'private', 'Private="set-cookie"', 'public, NO-STORE', 'no-cache', 'max-age=60, no-cache="a, b"'])(
    'stores nothing that says %s',
    (control) => {
      expect(judged({ 'cache-control': control })).toEqual({ store: false, reason: 'directive' })
    },
  )

  it.each([
    [{ 'content-encoding': 'gzip' }, 'encoded'],
    [{ vary: '*' }, 'vary'],
    [{ vary: 'Accept-Encoding, Cookie' }, 'vary'],
    [{ 'cache-control': 'max-age=0' }, 'expired'],
    [{ 'cache-control': 'max-age=abc' }, 'expired'],
    [{ 'cache-control': 's-maxage=0, max-age=100' }, 'expired'],
    [{ 'cache-control': 'max-age=60', age: '60' }, 'expired'],
  ])('stores nothing with %j', (headers, reason) => {
    expect(judged(headers)).toEqual({ store: false, reason })
  })

  it('stores nothing larger than the limit, and what has no length yet', () => {
    expect(judged({}, 200, 1001)).toEqual({ store: false, reason: 'too-large' })
    expect(judge({ status: 200, headers: { 'transfer-encoding': 'chunked' }, length: undefined }, 'segment', NOW, 1000).store).toBe(true)
  })

  it('stores no body whose end only the closed connection tells', () => {
    expect(judge({ status: 200, headers: {}, length: undefined }, 'segment', NOW, 1000)).toEqual({ store: false, reason: 'unframed' })
  })

  it('counts a lifetime from when the origin made the response; s-maxage wins', () => {
    expect(judged({ 'cache-control': 'max-age=600, s-maxage=60', age: '10' })).toEqual({
      store: true,
      bornAt: NOW - 10_000,
      freshUntil: NOW + 50_000,
    })
  })

  it('gives media without a lifetime a long one', () => {
    expect(judged({ vary: 'Origin, accept-encoding', 'content-encoding': 'identity' })).toEqual({
      store: true,
      bornAt: NOW,
      freshUntil: NOW + 30 * DAY,
    })
  })

  it('takes an endless max-age for a long one', () => {
    expect(judged({ 'cache-control': `max-age=${'9'.repeat(40)}` })).toMatchObject({ store: true, freshUntil: NOW + 2 ** 31 * 1000 })
  })
})

describe('parseCacheControl', () => {
  it('reads tokens, arguments and quoted arguments; the first of a name counts', () => {
    expect([...parseCacheControl('public,Max-Age = 5 , private="a, no-store" ,max-age=9')]).toEqual([
      ['public', ''],
      ['max-age', '5'],
      ['private', 'a, no-store'],
    ])
  })

  it('finds a directive that stands among anything', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z-]{1,9}(=[0-9]{1,3})?$/)), (others) => {
        expect(parseCacheControl([...others, 'no-store'].join(', ')).has('no-store')).toBe(true)
      }),
    )
  })
})
