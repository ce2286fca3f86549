import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Judged, judge, type Resource } from './judge.js'

const NOW = Date.UTC(2026, 5, 1, 12)
const DAY = 86_400_000
const STALE = { whileRevalidate: 5000, ifError: 60_000 }
const MEDIA: Resource = { mode: 'media', media: 'segment' }
const GENERIC: Resource = { mode: 'generic', authorized: false }
const AUTHORIZED: Resource = { mode: 'generic', authorized: true }
const at = (seconds: number) => new Date(NOW + seconds * 1000).toUTCString()

type Headers = Record<string, string>
const judged = (headers: Headers, resource: Resource = GENERIC, rest: Partial<Judged> = {}) =>
  judge({ status: 200, headers, length: 100, ...rest }, resource, NOW, 1000, STALE)
const fresh = (headers: Headers, resource?: Resource, rest?: Partial<Judged>) => {
  const verdict = judged(headers, resource, rest)
  return verdict.store && verdict.freshUntil > NOW
}

describe('judge', () => {
  it.each([201, 204, 206, 301, 304, 403, 404, 500])('stores no %i on a media path', (status) => {
    expect(judged({ 'cache-control': 'max-age=60' }, MEDIA, { status })).toEqual({ store: false, reason: 'status' })
  })

  it.each([206, 304, 416, 428, 429, 431, 500, 501, 502, 503, 504, 511, 599])(
    'stores no %i of a generic resource, whatever it says',
    (status) => {
      expect(judged({ 'cache-control': 'public, max-age=60', etag: '"a"' }, GENERIC, { status })).toEqual({
        store: false,
        reason: 'status',
      })
    },
  )

  it.each([
    'no-store',
    'private',
    'Private="set-cookie"',
    'public, NO-STORE',
    'max-age=60;no-store',
    'x="no, store", no-store',
    'private=x',
  ])('stores nothing that says %s', (control) => {
    for (const resource of [MEDIA, GENERIC]) {
      expect(judged({ 'cache-control': control, etag: '"a"' }, resource)).toEqual({ store: false, reason: 'directive' })
    }
  })

  it.each<Headers>([{}, { 'cache-control': 'max-age=60' }, { expires: at(60) }, { 'cache-control': 'proxy-revalidate, max-age=60' }])(
    'stores no answer to an authorized request with %j alone',
    (headers) => {
      expect(judged({ ...headers, etag: '"a"' }, AUTHORIZED)).toEqual({ store: false, reason: 'authorization' })
    },
  )

  it.each(['public, max-age=60', 's-maxage=60', 'must-revalidate, max-age=60'])(
    'stores an answer to an authorized request with %s',
    (control) => {
      expect(fresh({ 'cache-control': control }, AUTHORIZED)).toBe(true)
    },
  )

  it.each([
    [{ 'content-encoding': 'gzip' }, 'encoded'],
    [{ vary: '*' }, 'vary'],
    [{ vary: 'Accept-Encoding, Cookie' }, 'vary'],
  ])('stores nothing with %j on a media path', (headers, reason) => {
    expect(judged(headers, MEDIA)).toEqual({ store: false, reason })
  })

  it.each(['*', 'Accept, *', ', *', 'a b', Array.from({ length: 17 }, (_, n) => `f${n}`).join(',')])(
    'stores no generic response that varies by %s',
    (vary) => {
      expect(judged({ vary, 'cache-control': 'max-age=60' })).toEqual({ store: false, reason: 'vary' })
    },
  )

  it('keeps coded bodies and variants of a generic resource', () => {
    expect(fresh({ 'content-encoding': 'br', vary: 'Accept-Encoding, Cookie', 'cache-control': 'max-age=60' })).toBe(true)
  })

  it('stores nothing larger than the limit, and what has no length yet', () => {
    expect(judged({}, MEDIA, { length: 1001 })).toEqual({ store: false, reason: 'too-large' })
    expect(judged({ 'transfer-encoding': 'chunked' }, MEDIA, { length: undefined }).store).toBe(true)
  })

  it('stores no body whose end only the closed connection tells', () => {
    expect(judged({}, MEDIA, { length: undefined })).toEqual({ store: false, reason: 'unframed' })
    expect(fresh({ 'cache-control': 'max-age=60' }, GENERIC, { status: 204, length: undefined })).toBe(true)
  })

  it('invents no lifetime for a generic resource', () => {
    expect(judged({})).toEqual({ store: false, reason: 'no-lifetime' })
    expect(judged({ 'last-modified': at(-10 * 365 * 86_400) })).toMatchObject({ store: true, freshUntil: NOW })
    expect(judged({ etag: '"a"' })).toMatchObject({ store: true, freshUntil: NOW, staleWhileRevalidate: 0, staleIfError: 0 })
    expect(judged({ etag: '"a"' }, GENERIC, { status: 302 })).toEqual({ store: false, reason: 'no-lifetime' })
    expect(judged({ etag: '"a"', 'cache-control': 'public' }, GENERIC, { status: 302 }).store).toBe(true)
  })

  it.each([200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499])('stores a %i that has an explicit lifetime', (status) => {
    expect(fresh({ 'cache-control': 'max-age=60' }, GENERIC, { status })).toBe(true)
  })

  it('stores what must be understood only when it is, and then in spite of no-store', () => {
    expect(judged({ 'cache-control': 'max-age=60, must-understand' }, GENERIC, { status: 299 })).toEqual({ store: false, reason: 'status' })
    expect(judged({ 'cache-control': 'max-age=60, no-store' }, GENERIC)).toEqual({ store: false, reason: 'directive' })
    expect(fresh({ 'cache-control': 'max-age=60, no-store, must-understand' })).toBe(true)
  })
})

describe('judge, where directives are for CDNs', () => {
  it.each<[string, Headers]>([
    ['no-store', { 'cache-control': 'max-age=60' }],
    ['private', { 'cache-control': 'max-age=60', expires: at(60) }],
    ['no-cache', { 'cache-control': 'max-age=60' }],
    ['max-age=0', { 'cache-control': 'max-age=60', expires: at(60) }],
    ['max-age="60"', { 'cache-control': 'max-age=60' }],
    ['none', { expires: at(60) }],
  ])('has nothing fresh of %s, whatever is said to others', (targeted, headers) => {
    expect(fresh({ ...headers, 'cdn-cache-control': targeted })).toBe(false)
  })

  it('stores what only others may not', () => {
    expect(fresh({ 'cache-control': 'no-store', expires: at(-60), 'cdn-cache-control': 'max-age=60' })).toBe(true)
  })

  it('goes by Cache-Control on media paths, and where the other is none', () => {
    expect(fresh({ 'cache-control': 'max-age=60', 'cdn-cache-control': 'no-store' }, MEDIA)).toBe(true)
    expect(fresh({ 'cache-control': 'max-age=60', 'cdn-cache-control': 'no-store, &' })).toBe(true)
  })
})

describe("a response's lifetime", () => {
  it.each([
    [{ 'cache-control': 'max-age=0' }],
    [{ 'cache-control': 'max-age=0', expires: at(60) }],
    [{ 'cache-control': 's-maxage=0, max-age=100' }],
    [{ 'cache-control': 'max-age=100, s-maxage=0' }],
    [{ 'cache-control': 'max-age=-100' }],
    [{ 'cache-control': 'max-age=abc' }],
    [{ 'cache-control': "max-age='100'" }],
    [{ 'cache-control': 'max-age' }],
    [{ 'cache-control': 'max-age =100' }],
    [{ 'cache-control': 's-maxage=x, max-age=100' }],
    [{ 'cache-control': 'extension="max-age=100", max-age=0' }],
    [{ 'cache-control': 'max-age=0, extension="max-age=100"' }],
    [{ 'cache-control': 'max-age=0, max-age=100' }],
    [{ 'cache-control': 'max-age=60', age: '60' }],
    [{ 'cache-control': 'max-age=60', age: '99999999999999' }],
    [{ 'cache-control': 'max-age=60', age: '60, 0' }],
    [{ 'cache-control': 'max-age=60', date: at(-61) }],
    [{ expires: at(-1) }],
    [{ expires: at(0) }],
    [{ expires: '0' }],
    [{ expires: `${at(60)}, ${at(60)}` }],
    [{ expires: at(60), date: at(60) }],
    [{ expires: at(60), date: at(0), age: '60' }],
    [{ expires: at(60), date: at(20), age: '40' }],
    [{ 'cache-control': 'no-cache, max-age=60' }],
    [{ 'cache-control': 'max-age=60, no-cache="set-cookie"' }],
  ])('has ended with %j: stored only to be revalidated', (headers) => {
    for (const resource of [GENERIC, MEDIA]) {
      const verdict = judged({ ...headers, etag: '"a"' }, resource)
      expect(verdict.store && verdict.freshUntil <= NOW).toBe(true)
    }
    expect(judged(headers)).toEqual({ store: false, reason: 'no-lifetime' })
  })

  it.each([
    [{ 'cache-control': 'max-age=60' }, 60],
    [{ 'cache-control': 'max-age=60, max-age=1' }, 60],
    [{ 'cache-control': 'max-age="60"' }, 60],
    [{ 'cache-control': 'MAX-AGE=0060' }, 60],
    [{ 'cache-control': 'foo, max-age=60' }, 60],
    [{ 'cache-control': 'max-age=1, s-maxage=60', expires: at(-10) }, 60],
    [{ 'cache-control': 'max-age=60', expires: '0' }, 60],
    [{ 'cache-control': 'max-age=60', pragma: 'no-cache' }, 60],
    [{ 'cache-control': `max-age=${'9'.repeat(40)}` }, 2 ** 31],
    [{ expires: at(60) }, 60],
    [{ expires: at(60), date: 'no date' }, 60],
    [{ expires: at(70), date: at(10) }, 60],
    [{ 'cache-control': 'max-age=60', date: at(100) }, 60],
  ])('is told by %j: %i s', (headers, seconds) => {
    expect(judged(headers)).toMatchObject({ store: true, bornAt: NOW, freshUntil: NOW + seconds * 1000 })
  })

  it.each([
    ['10', 10],
    ['10, 99', 10],
    ['abc', 0],
    ['-10', 0],
    ['10.0', 0],
    ['10;a=b', 0],
  ])('began so much earlier with Age %s: %i s', (age, seconds) => {
    expect(judged({ 'cache-control': 'max-age=60', age })).toMatchObject({
      bornAt: NOW - seconds * 1000,
      freshUntil: NOW + (60 - seconds) * 1000,
    })
  })

  it('began when the request was sent, or before, never after the response', () => {
    const control = { 'cache-control': 'max-age=60' }
    expect(judged({ ...control, age: '5' }, GENERIC, { requestedAt: NOW - 3000 })).toMatchObject({ bornAt: NOW - 8000 })
    expect(judged({ ...control, date: at(-20) }, GENERIC, { requestedAt: NOW - 3000 })).toMatchObject({ bornAt: NOW - 20_000 + 999 })
    expect(judged({ ...control, date: at(20) })).toMatchObject({ bornAt: NOW })
  })

  it('is long for media that say nothing', () => {
    expect(judged({ vary: 'Origin, accept-encoding', 'content-encoding': 'identity' }, MEDIA)).toEqual({
      store: true,
      bornAt: NOW,
      freshUntil: NOW + 30 * DAY,
      staleWhileRevalidate: 5000,
      staleIfError: 60_000,
    })
    expect(judged({}, { mode: 'media', media: 'playlist' })).toMatchObject({ freshUntil: NOW + 3_600_000 })
  })
})

describe('stale windows', () => {
  it.each(['must-revalidate', 'proxy-revalidate', 's-maxage=60', 'no-cache'])('are none with %s', (directive) => {
    for (const resource of [MEDIA, GENERIC]) {
      const headers = { 'cache-control': `max-age=60, stale-while-revalidate=10, stale-if-error=20, ${directive}`, etag: '"a"' }
      expect(judged(headers, resource)).toMatchObject({ store: true, staleWhileRevalidate: 0, staleIfError: 0 })
    }
  })

  it('are none of a generic resource that says nothing, nor of one that says nonsense', () => {
    expect(judged({ 'cache-control': 'max-age=60' })).toMatchObject({ staleWhileRevalidate: 0, staleIfError: 0 })
    const nonsense = { 'cache-control': 'max-age=60, stale-while-revalidate=x, stale-if-error' }
    for (const resource of [MEDIA, GENERIC]) expect(judged(nonsense, resource)).toMatchObject({ staleWhileRevalidate: 0, staleIfError: 0 })
  })

  it('are what the origin says, of media each alone, else what is configured', () => {
    const both = { 'cache-control': 'max-age=60, stale-while-revalidate=1, stale-if-error=2' }
    expect(judged(both)).toMatchObject({ staleWhileRevalidate: 1000, staleIfError: 2000 })
    expect(judged({ 'cache-control': 'max-age=60, stale-if-error=0' }, MEDIA)).toMatchObject({
      staleWhileRevalidate: 5000,
      staleIfError: 0,
    })
  })

  it('keep what has ended already and cannot be revalidated', () => {
    expect(judged({ 'cache-control': 'max-age=0, stale-if-error=20' }).store).toBe(true)
  })
})

it('never stores what says no-store or private, and never has two opinions', () => {
  const directive = fc.stringMatching(/^[a-z-]{1,9}(=("[a-z, =]{0,9}"|[0-9]{1,3}))?$/)
  fc.assert(
    fc.property(fc.array(directive), fc.constantFrom('no-store', 'private'), fc.nat(600), (others, word, status) => {
      const control = [...others.filter((other) => other !== 'must-understand'), word].join(', ')
      expect(judged({ 'cache-control': control, etag: '"a"' }, GENERIC, { status }).store).toBe(false)
    }),
  )
  const value = fc.option(fc.string(), { nil: undefined })
  const headers = fc.record({ 'cache-control': value, age: value, date: value, expires: value, vary: value, etag: value })
  fc.assert(
    fc.property(headers, (given) => {
      const verdict = judge({ status: 200, headers: given, length: 1 }, GENERIC, NOW, 1000, STALE)
      if (verdict.store) expect(verdict.bornAt <= NOW && verdict.freshUntil >= verdict.bornAt && verdict.staleIfError >= 0).toBe(true)
    }),
  )
})
