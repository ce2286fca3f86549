import { describe, expect, it } from 'vitest'
import type { EntryMeta, HeaderField } from './entry-meta.js'
import { forbidsSharing, refreshed, validatorsOf } from './revalidate.js'
import type { Resource } from './verdict.js'

const NOW = Date.UTC(2026, 5, 1, 12)
const GENERIC: Resource = { mode: 'generic', authorized: false }
const MEDIA: Resource = { mode: 'media', media: 'segment' }
const STALE = { whileRevalidate: 5000, ifError: 60_000 }
const MODIFIED = 'Sun, 19 Nov 2000 08:52:00 GMT'

const stored = (...headers: HeaderField[]): EntryMeta => ({
  id: '0123456789abcdef',
  key: 'o1 /a',
  status: 200,
  headers,
  length: 5,
  origin: 'o1',
  generation: 0,
  bornAt: NOW - 100_000,
  freshUntil: NOW - 40_000,
  staleWhileRevalidate: 0,
  staleIfError: 0,
})
const after = (meta: EntryMeta, ...fields: HeaderField[]) => refreshed(meta, fields, NOW, GENERIC, STALE)

describe('validatorsOf', () => {
  it('has nothing to ask with where there is no validator', () => {
    expect(validatorsOf(stored(['content-type', 'text/plain']))).toEqual([])
  })
  it('asks with both', () => {
    expect(validatorsOf(stored(['last-modified', MODIFIED], ['etag', 'W/"a"']))).toEqual([
      ['if-none-match', 'W/"a"'],
      ['if-modified-since', MODIFIED],
    ])
  })
})

describe('forbidsSharing', () => {
  const of = (stored: string | undefined, given: string | undefined, authorized = false) => {
    const field = (value: string | undefined): HeaderField[] => (value === undefined ? [] : [['cache-control', value]])
    return forbidsSharing({ status: 200, headers: field(stored) }, field(given), { mode: 'generic', authorized })
  }

  it.each(['no-store', 'private', 'private="set-cookie", max-age=60', 'public, no-store'])('for %s', (control) => {
    expect(of('max-age=60', control)).toBe('directive')
    expect(forbidsSharing(stored(), [['cache-control', control]], MEDIA)).toBe('directive')
  })

  it('for what an authorized request is told, unless that allows it', () => {
    expect([of('max-age=60', undefined, true), of('public', 'max-age=60', true), of(undefined, undefined, true)]).toEqual(
      Array(3).fill('authorization'),
    )
    for (const control of ['public', 's-maxage=60', 'must-revalidate']) {
      expect([of(control, undefined, true), of('max-age=60', control, true)]).toEqual([undefined, undefined])
    }
  })

  it('for nothing else', () => {
    expect([of('max-age=60', undefined), of('max-age=60', 'no-cache'), of(undefined, undefined)]).toEqual([undefined, undefined, undefined])
    expect(of('must-understand, no-store, max-age=60', undefined)).toBeUndefined()
  })
})

describe('refreshed', () => {
  it.each<[HeaderField[], HeaderField[]]>([
    [[['etag', '"a"']], [['etag', '"b"']]],
    [[['etag', '"a"']], [['etag', 'W/"b"']]],
    [[['etag', 'W/"a"']], [['etag', '"a"']]],
    [[['last-modified', MODIFIED]], [['etag', '"a"']]],
    [[['last-modified', MODIFIED]], [['last-modified', 'Mon, 20 Nov 2000 08:52:00 GMT']]],
    [
      [
        ['etag', '"a"'],
        ['last-modified', MODIFIED],
      ],
      [['last-modified', 'Mon, 20 Nov 2000 08:52:00 GMT']],
    ],
  ])('does not let %j be confirmed by %j', (headers, fields) => {
    expect(after(stored(...headers), ...fields)).toBeUndefined()
  })

  it.each<[HeaderField[], HeaderField[]]>([
    [[['etag', '"a"']], [['etag', '"a"']]],
    [[['etag', '"a"']], [['etag', 'W/"a"']]],
    [[['etag', 'W/"a"']], [['etag', 'W/"a"']]],
    [[['last-modified', MODIFIED]], [['last-modified', MODIFIED]]],
    [[['last-modified', MODIFIED]], [['etag', 'W/"a"']]],
    [[['etag', '"a"']], []],
  ])('lets %j be confirmed by %j', (headers, fields) => {
    expect(after(stored(...headers), ...fields)).toMatchObject({ headers, bornAt: NOW })
  })

  it('takes over new fields and keeps those that are not named', () => {
    const meta = stored(['x-kept', '1'], ['set-cookie', 'a=1'], ['set-cookie', 'b=1'], ['cache-control', 'max-age=60'], ['etag', '"a"'])
    const fields: HeaderField[] = [
      ['etag', '"a"'],
      ['set-cookie', 'a=2'],
      ['x-new', '1'],
      ['cache-control', 'max-age=600'],
      ['x-new', '2'],
      ['date', new Date(NOW).toUTCString()],
      ['age', '10'],
      ['connection', 'x-hop'],
      ['x-hop', '1'],
    ]
    expect(after(meta, ...fields)).toEqual({
      ...meta,
      headers: [
        ['x-kept', '1'],
        ['set-cookie', 'a=2'],
        ['cache-control', 'max-age=600'],
        ['etag', '"a"'],
        ['x-new', '1'],
        ['x-new', '2'],
      ],
      bornAt: NOW - 10_000,
      freshUntil: NOW + 590_000,
    })
  })

  it.each(['content-length', 'content-type', 'content-encoding', 'content-range'])('leaves %s as the stored bytes have it', (name) => {
    const meta = stored([name, 'old'], ['etag', '"a"'])
    // Content-Length is never stored: the entry has its length.
    const kept = name === 'content-length' ? [['etag', '"a"']] : meta.headers
    expect(after(meta, [name, 'new'], ['etag', '"a"'])?.headers).toEqual(kept)
  })

  it('counts the stored lifetime anew where the 304 has none', () => {
    const meta = stored(['cache-control', 'max-age=60, stale-if-error=9'], ['etag', '"a"'])
    expect(after(meta)).toMatchObject({ bornAt: NOW, freshUntil: NOW + 60_000, staleIfError: 9000 })
  })

  it.each([
    [undefined, 'foo'],
    ['foo', 'foo, bar'],
    ['foo', ''],
    ['foo', '*'],
  ])('confirms nothing where Vary was %s and is now %s', (before, now) => {
    const headers: HeaderField[] = [['etag', '"a"']]
    if (before !== undefined) headers.push(['vary', before])
    expect(after(stored(...headers), ['vary', now])).toBeUndefined()
    expect(refreshed(stored(...headers), [['vary', now]], NOW, MEDIA, STALE)).toBeDefined()
  })

  it('takes a Vary of the same names, in any order, for the same', () => {
    const meta = stored(['etag', '"a"'], ['vary', 'Foo, Bar'])
    for (const fields of [[], [['vary', 'bar,foo']]] as HeaderField[][]) expect(after(meta, ...fields)).toBeDefined()
  })

  it('is stale from the start when it must be asked about at each use', () => {
    const meta = after(stored(['etag', '"a"'], ['cache-control', 'max-age=60, stale-if-error=60']), [
      'cache-control',
      'no-cache, max-age=60',
    ])
    expect(meta).toMatchObject({ bornAt: NOW, freshUntil: NOW, staleIfError: 0 })
  })

  it('keeps the old head when the new one has no place, and its lifetime all the same', () => {
    const meta = stored(['etag', '"a"'], ['cache-control', 'max-age=60'])
    const fields: HeaderField[] = [
      ['x-long', 'x'.repeat(2048)],
      ['x-longer', 'x'.repeat(2048)],
      ['cache-control', 'max-age=600'],
    ]
    expect(after(meta, ...fields)).toMatchObject({ headers: meta.headers, freshUntil: NOW + 600_000 })
  })

  it('lets no field of the edge or of one client into a media entry', () => {
    const meta = stored(['etag', '"a"'])
    const fields: HeaderField[] = [
      ['set-cookie', 'a=1'],
      ['access-control-allow-origin', 'x'],
    ]
    expect(refreshed(meta, fields, NOW, { mode: 'media', media: 'segment' }, STALE)?.headers).toEqual([['etag', '"a"']])
  })
})

it('takes the lifetime of a 304 from what it says to CDNs, as the stored one was', () => {
  const meta = stored(['cdn-cache-control', 'max-age=60'], ['cache-control', 'no-store'])
  expect(after(meta)?.freshUntil).toBe(NOW + 60_000)
  expect(after(meta, ['cdn-cache-control', 'max-age=5'])?.freshUntil).toBe(NOW + 5000)
})
