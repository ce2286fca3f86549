import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { raw, startTestEdge, type TestEdge, tempFolder } from './edge.js'
import { startOrigin, type TestOrigin } from './origin.js'

type Fields = Record<string, string | string[]>
type Script = (request: IncomingMessage, count: number) => { status?: number; headers?: Fields; body?: string }

/** Stale when it arrives, so that no test has to wait for that. */
const OLD = { age: '60' }
const MODIFIED = 'Sun, 19 Nov 2000 08:52:00 GMT'

describe('generic mode', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let origin: TestOrigin
  let edge: TestEdge
  let methods: string[]
  let bodies: string[]

  beforeEach(async () => {
    folder = await tempFolder()
    origin = await startOrigin()
    methods = []
    bodies = []
    edge = await startTestEdge(folder.path, [origin], { paths: [{ prefix: '/app', mode: 'generic', origin: 'o1' }] })
  })
  afterEach(async () => {
    await edge.stop()
    await origin.stop()
    await folder.remove()
  })

  /** What the origin answers; `body n` for the nth request where nothing else is said. A 304 where the conditions hold. */
  const serve = (script: Script) => {
    let count = 0
    origin.behave((incoming: IncomingMessage, response: ServerResponse) => {
      const number = ++count
      methods.push(incoming.method ?? '')
      let body = ''
      incoming.on('data', (chunk) => {
        body += chunk
      })
      incoming.on('end', () => {
        bodies.push(body)
        const { status = 200, headers = {}, body: text = `body ${number}` } = script(incoming, number)
        const bodiless = status === 204 || status === 205 || status === 304
        response.writeHead(status, bodiless ? headers : { 'content-length': Buffer.byteLength(text), ...headers })
        response.end(bodiless || incoming.method === 'HEAD' ? undefined : text)
      })
    })
  }
  const always = (headers: Fields, status = 200) => serve(() => ({ status, headers }))
  const text = async (path = '/app/a', headers: Record<string, string> = {}) => {
    const answer = await edge.get(path, headers)
    await edge.idle()
    return answer.body.toString()
  }
  const twice = async (first: Record<string, string> = {}, second: Record<string, string> = first) => [
    await text('/app/a', first),
    await text('/app/a', second),
  ]
  const phase = async (headers: Record<string, string> = {}, path = '/app/a') => (await edge.get(path, headers)).headers['x-cache']

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
      const answers = [await edge.get('/app/a'), await edge.get('/app/a')]
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
    expect(origin.requests).toEqual(['/app/a'])
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
      await edge.get('/app/a')
      await edge.idle()
      const { age, ...hit } = (await edge.get('/app/a')).headers
      expect([origin.requests.length, hit['x-cache'], age]).toEqual([1, 'hit', '0'])
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
      expect(Number((await edge.get('/app/a')).headers.age)).toBeGreaterThanOrEqual(100)
    })

    it('says in Cache-Status how it was answered', async () => {
      always({ 'cache-control': 'max-age=600' })
      expect((await edge.get('/app/a')).headers['cache-status']).toBe('e1; fwd=uri-miss; fwd-status=200; stored')
      await edge.idle()
      expect((await edge.get('/app/a')).headers['cache-status']).toMatch(/^e1; hit; ttl=(600|59\d)$/)
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
      expect((await edge.get('/app/a', {}, 'HEAD')).headers['content-length']).toBe('6')
      await text()
      const hit = await edge.get('/app/a', {}, 'HEAD')
      expect([hit.headers['x-cache'], hit.headers['content-length'], methods]).toEqual(['hit', '6', ['HEAD', 'GET']])
    })

    it('ends a 205 with its head, stored or not, so that no client waits for a body', async () => {
      for (const control of ['no-store', 'max-age=60']) {
        always({ 'cache-control': control, 'content-length': '0' }, 205)
        for (const method of ['GET', 'GET', 'HEAD', 'POST']) {
          const answer = await raw(edge.port, `${method} /app/a HTTP/1.1\r\nHost: h\r\n\r\n`)
          expect(answer.text).toMatch(/^HTTP\/1\.1 205 [\s\S]*\r\ncontent-length: 0\r\n/i)
          expect(answer.closed).toBe(false)
          await edge.idle()
        }
      }
    })

    it('answers ranges, also several, and what cannot be satisfied', async () => {
      serve(() => ({ headers: { 'cache-control': 'max-age=60', etag: '"a"' }, body: 'x'.repeat(500) }))
      const first = await edge.get('/app/a', { range: 'bytes=1-2' })
      expect([first.status, first.headers['content-range']]).toEqual([206, 'bytes 1-2/500'])
      await edge.idle()
      expect((await edge.get('/app/a', { range: 'bytes=500-' })).status).toBe(416)
      expect((await edge.get('/app/a', { range: 'bytes=0-1', 'if-range': '"b"' })).status).toBe(200)
      const several = await edge.get('/app/a', { range: 'bytes=0-1,-2' })
      expect(several.headers['content-type']).toMatch(/^multipart\/byteranges; boundary=/)
      expect([several.body.length, origin.requests.length]).toEqual([Number(several.headers['content-length']), 1])
    })
  })

  describe('conditions of clients', () => {
    it('are answered from what is stored', async () => {
      always({ 'cache-control': 'max-age=60', etag: '"a"', 'last-modified': MODIFIED })
      await text()
      expect((await edge.get('/app/a', { 'if-none-match': '"b"', 'if-modified-since': MODIFIED })).status).toBe(200)
      const answer = await edge.get('/app/a', { 'if-none-match': 'W/"a"' })
      expect([answer.status, answer.headers.etag, answer.headers['content-length']]).toEqual([304, '"a"', undefined])
      expect((await edge.get('/app/a', { 'if-modified-since': MODIFIED })).status).toBe(304)
      expect(origin.requests.length).toBe(1)
    })

    it.each([
      ['if-match', '"b"'],
      ['if-unmodified-since', MODIFIED],
    ])('%s is for the origin to judge, whatever is stored', async (name, value) => {
      serve((incoming) => ({
        status: incoming.headers[name] === value ? 412 : 200,
        headers: { 'cache-control': 'max-age=60', etag: '"a"' },
      }))
      await text()
      for (const method of ['GET', 'HEAD'] as const) expect((await edge.get('/app/a', { [name]: value }, method)).status).toBe(412)
      expect((await edge.get('/app/a', { [name]: value, 'cache-control': 'only-if-cached' })).status).toBe(504)
      expect(await phase()).toBe('hit')
    })

    it('do not make a miss fetch less than the whole', async () => {
      serve((incoming) => ({
        headers: { 'cache-control': 'max-age=60', etag: '"a"', 'x-asked': String(incoming.headers['if-none-match']) },
      }))
      const answer = await edge.get('/app/a', { 'if-none-match': '"a"' })
      expect([answer.status, answer.headers['x-asked']]).toEqual([304, 'undefined'])
    })
  })

  describe('revalidation', () => {
    it.each<[string, Fields, string]>([
      ['ETag', { etag: '"a"' }, 'if-none-match'],
      ['a weak ETag', { etag: 'W/"a"' }, 'if-none-match'],
      ['Last-Modified', { 'last-modified': MODIFIED }, 'if-modified-since'],
    ])('by %s keeps the body and takes the new fields', async (_, validator, condition) => {
      serve((incoming, count) =>
        incoming.headers[condition] === Object.values(validator)[0]
          ? { status: 304, headers: { ...validator, 'x-new': String(count), 'cache-control': 'max-age=600' } }
          : { headers: { ...validator, ...OLD, 'cache-control': 'max-age=60', 'x-kept': '1', 'x-new': '0' } },
      )
      await text()
      const confirmed = await edge.get('/app/a')
      expect([confirmed.body.toString(), confirmed.headers['x-cache']]).toEqual(['body 1', 'revalidated'])
      const hit = await edge.get('/app/a')
      expect([hit.headers['x-cache'], hit.headers['x-kept'], hit.headers['x-new']]).toEqual(['hit', '1', '2'])
    })

    it('asks at each use where the origin wants that', async () => {
      serve((incoming) => ({
        status: incoming.headers['if-none-match'] ? 304 : 200,
        headers: { etag: '"a"', 'cache-control': 'no-cache' },
      }))
      expect([await text(), await text(), await text()]).toEqual(['body 1', 'body 1', 'body 1'])
      expect(origin.requests.length).toBe(3)
    })

    it('replaces what has changed', async () => {
      serve((_, count) => ({ headers: { etag: `"${count}"`, 'cache-control': 'max-age=60', ...(count === 1 && OLD) } }))
      expect([await text(), await text(), await text()]).toEqual(['body 1', 'body 2', 'body 2'])
    })

    it('does not let a 304 about something else confirm anything', async () => {
      serve((incoming, count) => ({
        status: incoming.headers['if-none-match'] ? 304 : 200,
        headers: { etag: count === 1 ? '"a"' : '"b"', 'cache-control': 'max-age=60', ...OLD },
      }))
      await text()
      expect(await text()).not.toBe('body 1')
    })
  })

  describe('stale answers', () => {
    it.each(['must-revalidate', 'proxy-revalidate', 's-maxage=60', 'no-cache'])('are never given with %s', async (directive) => {
      always({ 'cache-control': `${directive}, max-age=60, stale-while-revalidate=600, stale-if-error=600`, etag: '"a"', ...OLD })
      await text()
      await origin.stop()
      expect((await edge.get('/app/a', { 'cache-control': 'max-stale' })).status).toBeGreaterThanOrEqual(502)
    })

    it('are never given without a directive', async () => {
      always({ 'cache-control': 'max-age=60', etag: '"a"', ...OLD })
      await text()
      await origin.stop()
      expect((await edge.get('/app/a')).status).toBeGreaterThanOrEqual(502)
    })

    it('are given while one request revalidates', async () => {
      serve((_, count) => ({
        headers: { 'cache-control': 'max-age=60, stale-while-revalidate=600', etag: `"${count}"`, ...(count === 1 && OLD) },
      }))
      await text()
      const stale = await edge.get('/app/a')
      expect([stale.body.toString(), stale.headers['x-cache']]).toEqual(['body 1', 'stale'])
      await until('the new answer', async () => (await text()) === 'body 2')
    })

    it('are given when the origin fails, or cannot be reached', async () => {
      serve((_, count) =>
        count === 1 ? { headers: { 'cache-control': 'max-age=60, stale-if-error=600', etag: '"a"', ...OLD } } : { status: 503 },
      )
      await text()
      const failing = await edge.get('/app/a')
      expect([failing.status, failing.body.toString(), failing.headers['x-cache']]).toEqual([200, 'body 1', 'stale'])
      await origin.stop()
      expect(await phase()).toBe('stale')
    })

    it('are given to whoever takes them', async () => {
      always({ 'cache-control': 'max-age=60', etag: '"a"', ...OLD })
      await text()
      expect(await phase({ 'cache-control': 'max-stale=600' })).toBe('stale')
    })
  })

  describe('directives of requests', () => {
    it.each<Record<string, string>>([
      { 'cache-control': 'no-cache' },
      { pragma: 'no-cache' },
      { 'cache-control': 'max-age=0' },
      { 'cache-control': 'min-fresh=600' },
    ])('%j asks the origin, with the validator', async (headers) => {
      serve((incoming) => ({
        status: incoming.headers['if-none-match'] ? 304 : 200,
        headers: { etag: '"a"', 'cache-control': 'max-age=60', age: '1' },
      }))
      expect(await twice({}, headers)).toEqual(['body 1', 'body 1'])
      expect(origin.headers[1]?.['if-none-match']).toBe('"a"')
    })

    it('no-store keeps nothing', async () => {
      always({ 'cache-control': 'max-age=60' })
      expect(await twice({ 'cache-control': 'no-store' }, {})).toEqual(['body 1', 'body 2'])
    })

    it('only-if-cached is answered with 504 where nothing is stored, and never asks', async () => {
      always({ 'cache-control': 'max-age=60' })
      expect((await edge.get('/app/a', { 'cache-control': 'only-if-cached' })).status).toBe(504)
      expect(origin.requests).toEqual([])
      await text()
      expect(await text('/app/a', { 'cache-control': 'only-if-cached' })).toBe('body 1')
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
      await edge.get('/app/a', {}, 'DELETE')
      expect(await text('/app/a', { foo: '1' })).toBe('body 4')
      expect(await text('/app/a', { foo: '2' })).toBe('body 5')
    })
  })

  describe('unsafe methods', () => {
    it.each(['POST', 'PUT', 'DELETE', 'PATCH'] as const)('%s invalidates its target, Location and Content-Location', async (method) => {
      const changed: Fields = { location: '/app/b', 'content-location': '/app/c?d' }
      serve((incoming) => ({ headers: incoming.method === 'GET' ? { 'cache-control': 'max-age=60' } : changed }))
      for (const path of ['/app/a', '/app/b', '/app/c?d', '/app/e']) await text(path)
      await edge.get('/app/a', {}, method)
      const after = []
      for (const path of ['/app/a', '/app/b', '/app/c?d', '/app/e']) after.push(await text(path))
      expect(after).toEqual(['body 6', 'body 7', 'body 8', 'body 4'])
    })

    it('that fail invalidate nothing', async () => {
      serve((incoming) => ({ status: incoming.method === 'GET' ? 200 : 404, headers: { 'cache-control': 'max-age=60' } }))
      await text()
      await edge.get('/app/a', {}, 'POST')
      expect(await text()).toBe('body 1')
    })

    it('pass their body on as it is, of known length or not', async () => {
      always({})
      const large = 'x'.repeat(300_000)
      await (await request(`${edge.url}/app/a`, { method: 'POST', body: large })).body.dump()
      await (await request(`${edge.url}/app/a`, { method: 'PUT', body: Readable.from(['one ', 'two']) })).body.dump()
      expect(bodies).toEqual([large, 'one two'])
      expect(origin.headers[0]?.['content-length']).toBe('300000')
    })

    it('TRACE is not served', async () => {
      always({})
      expect((await edge.get('/app/a', {}, 'TRACE')).status).toBe(405)
      expect(origin.requests).toEqual([])
    })
  })

  describe('fields', () => {
    it('go end to end, those of one hop do not', async () => {
      always({ 'set-cookie': ['a=1', 'b=2'], connection: 'x-hop', 'x-hop': '1', 'x-end': '1', via: '1.1 inner' })
      const { text: answer } = await raw(
        edge.port,
        'GET /app/a HTTP/1.1\r\nHost: h\r\nConnection: x-secret\r\nx-secret: 1\r\nTE: trailers\r\nx-end: 1\r\nVia: 1.0 outer\r\nCookie: c=1\r\n\r\n',
      )
      expect(answer).toMatch(/\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n/i)
      expect(answer).not.toMatch(/x-hop/i)
      expect(answer).toMatch(/\r\nvia: 1\.1 inner, 1\.1 e1\r\n/i)
      const [sent] = origin.headers
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
      expect((await edge.get('/app/a')).headers['x-hop']).toBeUndefined()
    })

    it('tell a loop', async () => {
      always({})
      expect((await edge.get('/app/a', { via: '1.1 e1' })).status).toBe(508)
      expect(origin.requests).toEqual([])
    })
  })

  it('leaves paths outside its prefixes to the others', async () => {
    always({ 'cache-control': 'max-age=60' })
    expect((await edge.get('/apple')).status).toBeGreaterThanOrEqual(400)
    // As a client that resolves nothing sends it.
    const { text: answer } = await raw(edge.port, 'GET /app/%2e%2e/x HTTP/1.1\r\nHost: h\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(origin.requests).toEqual([])
  })
})
