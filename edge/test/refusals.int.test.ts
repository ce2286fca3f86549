import { signRoute } from '@millrace/common/contracts/route'
import { until } from '@millrace/common/testing/until'
import { Agent, request } from 'undici'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { cacheFiles, raw, segment, startTestEdge, type TestEdge, tempFolder, VIDEO } from './edge.js'
import { startOrigin, type TestOrigin } from './origin.js'

describe('an edge refusing bad input', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: TestEdge
  beforeAll(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    edge = await startTestEdge(folder.path, [o1])
  })
  afterAll(async () => {
    await edge.stop()
    await o1.stop()
    await folder.remove()
  })
  afterEach(() => {
    expect(o1.requests).toEqual([])
  })

  const ask = `Host: e\r\n`
  const inner = `GET /o1${segment(1)} HTTP/1.1\r\n${ask}\r\n`

  it.each([
    ['/', 404],
    ['/o1', 404],
    ['/o1/', 404],
    ['/o1/etc/passwd', 404],
    [`/o1/../../etc/passwd`, 400],
    [`/o1/files/${VIDEO}/r1/../../../asset.json`, 400],
    [`/o1/files/${VIDEO}/r1/%2e%2e%2fasset.json`, 400],
    [`/o1/files%2f${VIDEO}/r1/main.mpd`, 400],
    [`/o1//files/${VIDEO}/r1/main.mpd`, 400],
    [`/o1/files/${VIDEO}/r1/.hidden`, 404],
    [`/o1/files/${VIDEO}/r0/main.mpd`, 404],
    [`/o1/files/short/r1/main.mpd`, 404],
    [`/o1/dash/${VIDEO}/r1/fragment-0-f1-v1-x3.m4s`, 404],
    [`/O1${segment(1)}`, 400],
    [`/o1~v1~bad${segment(1)}`, 400],
    [`/${Array.from({ length: 17 }, (_, i) => `o${i}`).join('.')}${segment(1)}`, 400],
    [`/nobody${segment(1)}`, 404],
    [`/o1/files/${VIDEO}/r1/${'a'.repeat(9000)}`, 414],
    [`/o1/files/${VIDEO}/r1/a\\b`, 400],
  ])('answers %s with %i', async (path, status) => {
    const { text } = await raw(edge.port, `GET ${path} HTTP/1.1\r\n${ask}\r\n`)
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(text).toContain('x-cache: refused')
    expect(text).toContain('application/problem+json')
  })

  it.each(['POST', 'PUT', 'DELETE', 'PATCH', 'TRACE'])('answers %s with 405 and what is allowed', async (method) => {
    const { text, closed } = await raw(edge.port, `${method} /o1${segment(1)} HTTP/1.1\r\n${ask}Content-Length: 4\r\n\r\nabcd`, 'close')
    expect(text).toMatch(/^HTTP\/1\.1 405 /)
    expect(text).toContain('allow: GET, HEAD, OPTIONS')
    expect(closed).toBe(true)
  })

  it.each([
    ['a body', `Content-Length: ${inner.length}\r\n`, inner],
    ['two equal Content-Lengths', 'Content-Length: 0\r\nContent-Length: 0\r\n', inner],
    ['two different Content-Lengths', `Content-Length: 0\r\nContent-Length: ${inner.length}\r\n`, inner],
    ['a list as Content-Length', 'Content-Length: 0, 0\r\n', inner],
    ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked\r\n', `0\r\n\r\n${inner}`],
    ['Transfer-Encoding: xchunked', 'Transfer-Encoding: xchunked\r\n', inner],
    ['both framings', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${inner}`],
    ['two Hosts', 'Host: other\r\n', inner],
  ])('refuses a GET with %s, closes, and runs nothing that follows', async (_what, headers, rest) => {
    for (const method of ['GET', 'HEAD', 'OPTIONS']) {
      const { text, closed } = await raw(edge.port, `${method} /o1${segment(1)} HTTP/1.1\r\n${ask}${headers}\r\n${rest}`, 'close')
      expect(closed).toBe(true)
      // What the server's own parser rejects closes the connection before the answer is out.
      if (text !== '') expect(text).toMatch(/^HTTP\/1\.1 400 /)
      expect(text).not.toContain('200 OK')
    }
  })

  it('answers a lone framing doubt with a 400 that says why', async () => {
    const { text, closed } = await raw(edge.port, `GET /o1${segment(1)} HTTP/1.1\r\n${ask}Content-Length: 4\r\n\r\nabcd`, 'close')
    expect(text).toMatch(/^HTTP\/1\.1 400 /)
    expect(text).toContain('"code":"bad-framing"')
    expect(closed).toBe(true)
  })

  it.each<[string, Record<string, unknown>, string]>([
    ['rate-limited', { requestsPerSecond: 0.001, requestBurst: 1 }, '429'],
    ['overloaded', { maxRequests: 1 }, '503'],
  ])('closes doubtful framing also while it is %s, and runs nothing that follows', async (_what, limits, status) => {
    const other = await tempFolder()
    const silent = await startOrigin(() => undefined)
    const limited = await startTestEdge(other.path, [silent], { limits })
    const agent = new Agent()
    try {
      // Takes what there is to take, for as long as this test runs.
      const held = request(`${limited.url}/o1${segment(9)}`, { dispatcher: agent }).catch(() => undefined)
      await until('the origin to be asked', () => silent.requests.length === 1)
      for (const [doubt, rest] of [
        [`Content-Length: 0\r\nContent-Length: ${inner.length}\r\n`, inner],
        ['Host: other\r\n', inner],
        ['Host: other\r\n', ''],
        ['Content-Length: 4\r\n', `abcd${inner}`],
      ]) {
        const { text, closed } = await raw(limited.port, `GET /o1${segment(1)} HTTP/1.1\r\n${ask}${doubt}\r\n${rest}`, 'close')
        expect(closed).toBe(true)
        // Bytes behind the request close the connection before the answer is out.
        if (rest === '' || text !== '') expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual([`HTTP/1.1 ${status}`])
      }
      expect(silent.requests.length).toBe(1)
      await agent.destroy()
      await held
    } finally {
      await limited.stop()
      await silent.stop()
      await other.remove()
    }
  })

  it('leaves nothing behind', async () => {
    expect(await cacheFiles(folder.path)).toMatchObject({ entries: [], tmp: [] })
  })
})

describe('an edge checking signed routes', () => {
  const key = 'a-secret-for-the-tests-0123456789'
  const now = Math.floor(Date.now() / 1000)
  const sign = (exp = now + 3600, withKey = key, rev = 'r1') =>
    signRoute({ origins: ['o1'], exp, kid: 'k1', key: Buffer.from(withKey), videoId: VIDEO, rev })

  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: TestEdge | undefined
  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
  })
  afterEach(async () => {
    await edge?.stop()
    await o1.stop()
    await folder.remove()
  })

  it.each([
    ['an unsigned route', 'o1', 'route-unsigned'],
    ['an expired signature', sign(now - 60), 'route-expired'],
    ['a signature by another key', sign(now + 3600, 'another-secret-0123456789'), 'route-bad-signature'],
    ['a signature for another revision', sign(now + 3600, key, 'r2'), 'route-bad-signature'],
    ['an unknown key id', sign().replace('~k1~', '~k9~'), 'route-unknown-key'],
  ])('answers %s with 403, also for what is cached', async (_what, route, code) => {
    edge = await startTestEdge(folder.path, [o1], { routes: { keys: { k1: key }, require: true } })
    expect((await edge.get(`/${sign()}${segment(1)}`)).status).toBe(200)
    const denied = await edge.get(`/${route}${segment(1)}`)
    expect([denied.status, denied.headers['x-cache'], JSON.parse(denied.body.toString()).code]).toEqual([403, 'refused', code])
  })

  it('serves all signatures of a path from one entry', async () => {
    edge = await startTestEdge(folder.path, [o1], { routes: { keys: { k1: key }, require: true } })
    await edge.get(`/${sign()}${segment(1)}`)
    const other = await edge.get(`/${sign(now + 7200)}${segment(1)}`)
    expect([other.status, o1.requests.length]).toEqual([200, 1])
  })

  it('refuses a wrong signature even where none is demanded, and takes none', async () => {
    edge = await startTestEdge(folder.path, [o1], { routes: { keys: { k1: key } } })
    expect((await edge.get(`/${sign(now - 60)}${segment(1)}`)).status).toBe(403)
    expect((await edge.get(`/o1${segment(1)}`)).status).toBe(200)
  })
})
