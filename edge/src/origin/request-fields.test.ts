import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HeaderField } from '../cache/entry-meta.js'
import { endToEnd, flatten } from '../http/fields.js'
import { isTraceparent, requestFields, viaNames } from './request-fields.js'

const GOOD = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const request = { purpose: 'fill', method: 'GET', path: '/x', signal: new AbortController().signal } as const
const generic = (headers: HeaderField[], more = {}) => requestFields({ ...request, mode: 'generic', headers, ...more }, 'e1')

describe('requestFields', () => {
  it('drops what is for one connection, what Connection lists, Host, Expect, and a length without a body', () => {
    const fields: HeaderField[] = [
      ['host', 'edge.example'],
      ['connection', 'keep-alive, X-Private'],
      ['x-private', '1'],
      ['te', 'trailers'],
      ['upgrade', 'h2c'],
      ['expect', '100-continue'],
      ['content-length', '3'],
      ['accept', 'a/b'],
      ['cookie', 'a=1'],
      ['cookie', 'b=2'],
      ['x-forwarded-for', '192.0.2.1'],
    ]
    expect(generic(fields)).toEqual([
      ['accept', 'a/b'],
      ['cookie', 'a=1'],
      ['cookie', 'b=2'],
      ['x-forwarded-for', '192.0.2.1'],
      ['via', '1.1 e1'],
    ])
    expect(generic([['content-length', '3']], { body: {} as AsyncIterable<Uint8Array> })).toContainEqual(['content-length', '3'])
  })

  it("appends itself to a client's Via, whose lines become one", () => {
    const via = generic([
      ['via', '1.0 a'],
      ['via', '1.1 b'],
    ])
    expect(via).toEqual([['via', '1.0 a, 1.1 b, 1.1 e1']])
  })

  it("replaces a client's trace by its own, of which it sends nothing that is malformed", () => {
    const client: HeaderField[] = [
      ['traceparent', 'theirs'],
      ['x-request-id', 'theirs'],
    ]
    expect(flatten(generic(client, { trace: { requestId: 'ours', traceparent: GOOD } }))).toMatchObject({
      traceparent: GOOD,
      'x-request-id': 'ours',
    })
    for (const trace of [{ requestId: 'a b', traceparent: 'x' }, { requestId: 'a b' }]) {
      const { traceparent, 'x-request-id': requestId } = flatten(generic(client, { trace }))
      expect([traceparent, requestId]).toEqual([undefined, undefined])
    }
  })

  it('speaks for itself in media mode', () => {
    const fields = flatten(requestFields({ ...request, mode: 'media', headers: [['range', 'bytes=0-']] }, 'e1'))
    expect(fields).toMatchObject({ range: 'bytes=0-', 'accept-encoding': 'identity', via: '1.1 e1' })
    expect(fields['user-agent']).toMatch(/^millrace-edge\//)
  })
})

describe('isTraceparent', () => {
  it.each([
    '',
    GOOD.toUpperCase(),
    `${GOOD}-more`,
    `ff${GOOD.slice(2)}`,
    GOOD.replace(/-[0-9a-f]{32}-/, `-${'0'.repeat(32)}-`),
    GOOD.replace(/-[0-9a-f]{16}-/, `-${'0'.repeat(16)}-`),
    `${GOOD}\n`,
  ])('refuses %j', (value) => {
    expect(isTraceparent(value)).toBe(false)
  })

  it('takes a valid one', () => {
    expect(isTraceparent(GOOD)).toBe(true)
  })
})

describe('viaNames', () => {
  it.each([
    [undefined, false],
    ['', false],
    ['1.1 e11', false],
    ['1.1 other (e1)', false],
    ['e1', false],
    ['1.1 e1', true],
    ['1.0 a, HTTP/1.1\tE1 (comment)', true],
  ])('%j: %s', (value, named) => {
    expect(viaNames(value, 'e1')).toBe(named)
  })
})

describe('endToEnd', () => {
  it('keeps order and number of all that Connection does not list, whatever it lists', () => {
    const name = fc.constantFrom('a', 'b', 'cache-control', 'set-cookie', 'connection', 'te', 'constructor', '__proto__')
    fc.assert(
      fc.property(fc.array(fc.tuple(name, fc.constantFrom('a', ' B , te', ',,', '')), { maxLength: 12 }), (fields) => {
        const listed = fields.filter(([field]) => field === 'connection').flatMap(([, value]) => value.toLowerCase().split(','))
        const gone = new Set(['connection', 'te', ...listed.map((option) => option.trim())])
        expect(endToEnd(fields as HeaderField[])).toEqual(fields.filter(([field]) => !gone.has(field)))
      }),
    )
  })
})

describe('flatten', () => {
  it('joins the lines of one name, also of names that objects have', () => {
    const flat = flatten([
      ['constructor', 'a'],
      ['__proto__', 'b'],
      ['__proto__', 'c'],
    ])
    expect([Object.entries(flat), flat.tostring]).toEqual([
      [
        ['constructor', 'a'],
        ['__proto__', 'b, c'],
      ],
      undefined,
    ])
  })
})
