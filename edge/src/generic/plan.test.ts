import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HeaderField } from '../cache/entry-meta.js'
import { invalidatedTargets, plan } from './plan.js'

const of = (method: string, fields: HeaderField[] = [], path = '/app/a', query = '') => plan({ method, path, query, fields }, '/app', 'e1')

describe('plan', () => {
  it.each([
    ['TRACE', [], 405],
    ['CONNECT', [], 405],
    ['GET', [['via', '1.0 fred, 1.1 e1']], 508],
    ['POST', [['via', '1.1 e1 (comment)']], 508],
    ['PUT', [['expect', '200-ok']], 417],
  ] as [string, HeaderField[], number][])('refuses %s with %j: %i', (method, fields, status) => {
    expect(of(method, fields)).toMatchObject({ kind: 'refuse', status })
  })

  it('refuses what cannot be forwarded as it came', () => {
    expect(of('GET', [], '/app/../etc')).toMatchObject({ kind: 'refuse', status: 400 })
    expect(of('GET', [], '/app/a', 'x'.repeat(9000))).toMatchObject({ kind: 'refuse', status: 414 })
  })

  it.each(['POST', 'PUT', 'DELETE', 'PATCH', 'LOCK', 'get', 'X'])('takes %s for unsafe and never looks it up', (method) => {
    expect(of(method)).toMatchObject({ kind: 'forward', unsafe: true, why: 'method' })
  })

  it.each(['OPTIONS', 'PROPFIND', 'QUERY'])('forwards %s without doubting what is stored', (method) => {
    expect(of(method)).toMatchObject({ kind: 'forward', unsafe: false })
  })

  it('never looks up a GET that has a body', () => {
    for (const field of [
      ['content-length', '5'],
      ['transfer-encoding', 'chunked'],
    ] as HeaderField[]) {
      expect(of('GET', [field])).toMatchObject({ kind: 'forward', why: 'request', hasBody: true, unsafe: false })
    }
    expect(of('GET', [['content-length', '0']])).toMatchObject({ kind: 'lookup', fields: [] })
  })

  it.each(['if-match', 'if-unmodified-since'])('leaves what %s means to the origin', (name) => {
    for (const method of ['GET', 'HEAD']) {
      expect(of(method, [[name, 'x']])).toMatchObject({ kind: 'forward', why: 'request', unsafe: false, fields: [[name, 'x']] })
    }
    const onlyCached: HeaderField[] = [
      [name, 'x'],
      ['cache-control', 'only-if-cached'],
    ]
    expect(of('GET', onlyCached)).toMatchObject({ kind: 'refuse', status: 504 })
  })

  it('keeps the query in the target, and says nothing of one request to the fill for all', () => {
    const fields: HeaderField[] = [
      ['host', 'h'],
      ['range', 'bytes=0-1'],
      ['if-none-match', '"a"'],
      ['connection', 'x-hop'],
      ['x-hop', '1'],
      ['cookie', 'a=1'],
      ['cache-control', 'no-cache'],
    ]
    expect(of('GET', fields, '/app/a', 'b=c')).toMatchObject({
      kind: 'lookup',
      target: '/app/a?b=c',
      fields: [
        ['range', 'bytes=0-1'],
        ['if-none-match', '"a"'],
        ['cookie', 'a=1'],
        ['cache-control', 'no-cache'],
      ],
      fillFields: [
        ['cookie', 'a=1'],
        ['cache-control', 'no-cache'],
      ],
      directives: { noCache: true },
    })
  })

  it('counts down Max-Forwards and answers at its end', () => {
    expect(of('OPTIONS', [['max-forwards', '0']])).toEqual({ kind: 'options' })
    expect(of('OPTIONS', [['max-forwards', '3']])).toMatchObject({ kind: 'forward', fields: [['max-forwards', '2']] })
    expect(of('OPTIONS', [['max-forwards', 'x']])).toMatchObject({ kind: 'forward', fields: [['max-forwards', 'x']] })
    expect(of('GET', [['max-forwards', '0']]).kind).toBe('lookup')
  })

  it('keeps the length of an empty body of an unsafe request, and drops Expect', () => {
    const fields: HeaderField[] = [
      ['content-length', '0'],
      ['expect', '100-Continue'],
    ]
    expect(of('POST', fields)).toMatchObject({ fields: [['content-length', '0']], hasBody: false })
  })

  it('forwards nothing of one hop and nothing outside the prefix, whatever it is fed', () => {
    const field = fc.tuple(fc.constantFrom('connection', 'te', 'upgrade', 'x-a', 'keep-alive', 'via', 'range'), fc.string())
    fc.assert(
      fc.property(fc.string(), fc.webPath(), fc.array(field), (method, path, fields) => {
        const planned = plan({ method, path: `/app${path}`, query: '', fields }, '/app', 'e1')
        if (planned.kind !== 'forward' && planned.kind !== 'lookup') return
        expect(planned.fields.some(([name]) => ['connection', 'te', 'upgrade', 'keep-alive'].includes(name))).toBe(false)
        expect(new URL(planned.target, 'http://h').pathname).toMatch(/^\/app(\/|$)/)
      }),
    )
  })
})

describe('invalidatedTargets', () => {
  const after = (status: number, headers: Record<string, string> = {}) => invalidatedTargets('/app/a?x=1', 'h:80', { status, headers })

  it.each([400, 404, 500, 503])('are none after a %i', (status) => {
    expect(after(status, { location: '/app/b' })).toEqual([])
  })

  it.each(['http://other/app/b', '//other/app/b', 'http://h:8080/app/b', 'http://[', 'data:,x'])('leave out %s', (location) => {
    expect(after(201, { location })).toEqual(['/app/a?x=1'])
  })

  it('are the target, Location and Content-Location', () => {
    expect(after(201, { location: 'http://h/app/b?y=2#f', 'content-location': '../c' })).toEqual(['/app/a?x=1', '/app/b?y=2', '/c'])
    expect(invalidatedTargets('/a', undefined, { status: 204, headers: {} })).toEqual(['/a'])
  })
})
