import { Readable } from 'node:stream'
import { request } from 'undici'
import { describe, expect, it } from 'vitest'
import { raw } from './edge.js'
import { genericApp } from './generic-app.js'
import type { Fields } from './generic-site.js'

describe('generic mode', () => {
  const app = genericApp()
  const { methods, bodies, serve, always, text, twice, phase } = app

  describe('what is not stored', () => {
    it.each<[string, Fields]>([
      ['no lifetime, no validator', {}],
      ['no-store', { 'cache-control': 'no-store, max-age=60' }],
      ['private', { 'cache-control': 'private, max-age=60' }],
      ['private with names', { 'cache-control': 'private="set-cookie", max-age=60' }],
      ['no-cache without a validator', { 'cache-control': 'no-cache, max-age=60' }],
      ['max-age=0', { 'cache-control': 'max-age=0' }],
      ['an Expires that is no date', { expires: '0' }],
      ['an age beyond its lifetime', { 'cache-control': 'max-age=60', age: '61' }],
      ['s-maxage=0 beside a long max-age', { 'cache-control': 's-maxage=0, max-age=600' }],
      ['Vary: *', { 'cache-control': 'max-age=60', vary: '*' }],
    ])('%s', async (_, headers) => {
      always(headers)
      expect(await twice()).toEqual(['body 1', 'body 2'])
    })

    it.each([206, 302, 404, 500, 503])('a %i that says nothing of caching', async (status) => {
      always({}, status)
      const answers = [await app.edge.get('/app/a'), await app.edge.get('/app/a')]
      expect(answers.map((answer) => [answer.status, answer.body.toString()])).toEqual([
        [status, 'body 1'],
        [status, 'body 2'],
      ])
    })

    it('a 503, whatever it says', async () => {
      always({ 'cache-control': 'public, max-age=60' }, 503)
      expect(await twice()).toEqual(['body 1', 'body 2'])
    })

    it('the answer to an authorized request, unless it allows that', async () => {
      always({ 'cache-control': 'max-age=60' })
      expect(await twice({ authorization: 'Basic eA==' })).toEqual(['body 1', 'body 2'])
    })
  })

  it('asks the origin once for what cannot be stored', async () => {
    always({ 'cache-control': 'no-store' })
    await text()
    expect(app.origin.requests).toEqual(['/app/a'])
  })

  describe('what is stored', () => {
    it.each<[string, Fields, number]>([
      ['max-age', { 'cache-control': 'max-age=60' }, 200],
      ['s-maxage beside max-age=0', { 'cache-control': 'max-age=0, s-maxage=60' }, 200],
      ['Expires', { expires: 'Sun, 21 Nov 2286 04:46:39 GMT' }, 200],
      ['a 404 with a lifetime', { 'cache-control': 'max-age=60' }, 404],
      ['a redirect with a lifetime', { 'cache-control': 'max-age=60', location: '/app/b' }, 302],
      ['cookies', { 'cache-control': 'max-age=60', 'set-cookie': ['a=1', 'b=2'] }, 200],
    ])('%s', async (_, headers, status) => {
      always(headers, status)
      await app.edge.get('/app/a')
      await app.edge.idle()
      const { age, ...hit } = (await app.edge.get('/app/a')).headers
      expect([app.origin.requests.length, hit['x-cache'], age]).toEqual([1, 'hit', '0'])
      for (const [name, value] of Object.entries(headers)) expect(hit[name]).toEqual(value)
    })

    it.each(['public, max-age=60', 's-maxage=60', 'must-revalidate, max-age=60'])(
      'an answer to an authorized request with %s',
      async (control) => {
        always({ 'cache-control': control })
        expect(await twice({ authorization: 'Basic eA==' })).toEqual(['body 1', 'body 1'])
      },
    )

    it('has an Age that counts from the origin', async () => {
      always({ 'cache-control': 'max-age=600', age: '100' })
      await text()
      expect(Number((await app.edge.get('/app/a')).headers.age)).toBeGreaterThanOrEqual(100)
    })

    it('says in Cache-Status how it was answered', async () => {
      always({ 'cache-control': 'max-age=600' })
      expect((await app.edge.get('/app/a')).headers['cache-status']).toBe('e1; fwd=uri-miss; fwd-status=200; stored')
      await app.edge.idle()
      expect((await app.edge.get('/app/a')).headers['cache-status']).toMatch(/^e1; hit; ttl=(600|59\d)$/)
    })

    it('is told apart by the query, and only by the whole of it', async () => {
      always({ 'cache-control': 'max-age=60' })
      expect([await text('/app/a?b=1'), await text('/app/a?b=2'), await text('/app/a'), await text('/app/a?b=1')]).toEqual([
        'body 1',
        'body 2',
        'body 3',
        'body 1',
      ])
    })

    it('answers HEAD, which alone stores nothing', async () => {
      always({ 'cache-control': 'max-age=60' })
      expect((await app.edge.get('/app/a', {}, 'HEAD')).headers['content-length']).toBe('6')
      await text()
      const hit = await app.edge.get('/app/a', {}, 'HEAD')
      expect([hit.headers['x-cache'], hit.headers['content-length'], methods]).toEqual(['hit', '6', ['HEAD', 'GET']])
    })

    it('ends a 205 with its head, stored or not, so that no client waits for a body', async () => {
      for (const control of ['no-store', 'max-age=60']) {
        always({ 'cache-control': control, 'content-length': '0' }, 205)
        for (const method of ['GET', 'GET', 'HEAD', 'POST']) {
          const answer = await raw(app.edge.port, `${method} /app/a HTTP/1.1\r\nHost: h\r\n\r\n`)
          expect(answer.text).toMatch(/^HTTP\/1\.1 205 [\s\S]*\r\ncontent-length: 0\r\n/i)
          expect(answer.closed).toBe(false)
          await app.edge.idle()
        }
      }
    })

    it('answers ranges, also several, and what cannot be satisfied', async () => {
      serve(() => ({ headers: { 'cache-control': 'max-age=60', etag: '"a"' }, body: 'x'.repeat(500) }))
      const first = await app.edge.get('/app/a', { range: 'bytes=1-2' })
      expect([first.status, first.headers['content-range']]).toEqual([206, 'bytes 1-2/500'])
      await app.edge.idle()
      expect((await app.edge.get('/app/a', { range: 'bytes=500-' })).status).toBe(416)
      expect((await app.edge.get('/app/a', { range: 'bytes=0-1', 'if-range': '"b"' })).status).toBe(200)
      const several = await app.edge.get('/app/a', { range: 'bytes=0-1,-2' })
      expect(several.headers['content-type']).toMatch(/^multipart\/byteranges; boundary=/)
      expect([several.body.length, app.origin.requests.length]).toEqual([Number(several.headers['content-length']), 1])
    })
  })

  describe('variants', () => {
    const varying = () => always({ 'cache-control': 'max-age=60', vary: 'Foo, Accept-Encoding' })

    it('are not mixed up', async () => {
      varying()
      expect([
        await text('/app/a', { foo: '1' }),
        await text('/app/a', { foo: '2' }),
        await text(),
        await text('/app/a', { foo: '1' }),
      ]).toEqual(['body 1', 'body 2', 'body 3', 'body 1'])
    })

    it('are one where the fields mean the same', async () => {
      varying()
      expect(await twice({ foo: '1', 'accept-encoding': 'gzip, br' }, { foo: '1', 'accept-encoding': 'BR,gzip;q=1' })).toEqual([
        'body 1',
        'body 1',
      ])
    })

    it('are not mixed up when they are asked for at once', async () => {
      serve((incoming) => ({ headers: { 'cache-control': 'max-age=60', vary: 'foo' }, body: String(incoming.headers.foo) }))
      const values = ['1', '2', '3', '1', '2', '3']
      expect(await Promise.all(values.map((foo) => text('/app/a', { foo })))).toEqual(values)
    })

    it('are eight at most', async () => {
      varying()
      for (let foo = 1; foo <= 9; foo++) await text('/app/a', { foo: String(foo) })
      expect(await phase({ foo: '9' })).toBe('hit')
      expect(await phase({ foo: '1' })).toBe('miss')
    })

    it('are invalidated together', async () => {
      varying()
      await text('/app/a', { foo: '1' })
      await text('/app/a', { foo: '2' })
      await app.edge.get('/app/a', {}, 'DELETE')
      expect(await text('/app/a', { foo: '1' })).toBe('body 4')
      expect(await text('/app/a', { foo: '2' })).toBe('body 5')
    })
  })

  describe('unsafe methods', () => {
    it.each(['POST', 'PUT', 'DELETE', 'PATCH'] as const)('%s invalidates its target, Location and Content-Location', async (method) => {
      const changed: Fields = { location: '/app/b', 'content-location': '/app/c?d' }
      serve((incoming) => ({ headers: incoming.method === 'GET' ? { 'cache-control': 'max-age=60' } : changed }))
      for (const path of ['/app/a', '/app/b', '/app/c?d', '/app/e']) await text(path)
      await app.edge.get('/app/a', {}, method)
      const after = []
      for (const path of ['/app/a', '/app/b', '/app/c?d', '/app/e']) after.push(await text(path))
      expect(after).toEqual(['body 6', 'body 7', 'body 8', 'body 4'])
    })

    it('that fail invalidate nothing', async () => {
      serve((incoming) => ({ status: incoming.method === 'GET' ? 200 : 404, headers: { 'cache-control': 'max-age=60' } }))
      await text()
      await app.edge.get('/app/a', {}, 'POST')
      expect(await text()).toBe('body 1')
    })

    it('pass their body on as it is, of known length or not', async () => {
      always({})
      const large = 'x'.repeat(300_000)
      await (await request(`${app.edge.url}/app/a`, { method: 'POST', body: large })).body.dump()
      await (await request(`${app.edge.url}/app/a`, { method: 'PUT', body: Readable.from(['one ', 'two']) })).body.dump()
      expect(bodies).toEqual([large, 'one two'])
      expect(app.origin.headers[0]?.['content-length']).toBe('300000')
    })

    it('TRACE is not served', async () => {
      always({})
      expect((await app.edge.get('/app/a', {}, 'TRACE')).status).toBe(405)
      expect(app.origin.requests).toEqual([])
    })
  })

  describe('fields', () => {
    it('go end to end, those of one hop do not', async () => {
      always({ 'set-cookie': ['a=1', 'b=2'], connection: 'x-hop', 'x-hop': '1', 'x-end': '1', via: '1.1 inner' })
      const { text: answer } = await raw(
        app.edge.port,
        'GET /app/a HTTP/1.1\r\nHost: h\r\nConnection: x-secret\r\nx-secret: 1\r\nTE: trailers\r\nx-end: 1\r\nVia: 1.0 outer\r\nCookie: c=1\r\n\r\n',
      )
      expect(answer).toMatch(/\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n/i)
      expect(answer).not.toMatch(/x-hop/i)
      expect(answer).toMatch(/\r\nvia: 1\.1 inner, 1\.1 e1\r\n/i)
      const [sent] = app.origin.headers
      expect([sent?.['x-secret'], sent?.te, sent?.['x-end'], sent?.cookie, sent?.via]).toEqual([
        undefined,
        undefined,
        '1',
        'c=1',
        '1.0 outer, 1.1 e1',
      ])
    })

    it('listed in Connection are not stored', async () => {
      always({ 'cache-control': 'max-age=60', connection: 'x-hop', 'x-hop': '1' })
      await text()
      expect((await app.edge.get('/app/a')).headers['x-hop']).toBeUndefined()
    })

    it('tell a loop', async () => {
      always({})
      expect((await app.edge.get('/app/a', { via: '1.1 e1' })).status).toBe(508)
      expect(app.origin.requests).toEqual([])
    })
  })

  it('leaves paths outside its prefixes to the others', async () => {
    always({ 'cache-control': 'max-age=60' })
    expect((await app.edge.get('/apple')).status).toBeGreaterThanOrEqual(400)
    // As a client that resolves nothing sends it.
    const { text: answer } = await raw(app.edge.port, 'GET /app/%2e%2e/x HTTP/1.1\r\nHost: h\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(app.origin.requests).toEqual([])
  })
})
