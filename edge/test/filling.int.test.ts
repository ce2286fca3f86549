import { connect } from 'node:net'
import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { cacheFiles, raw, segment, startTestEdge, type TestEdge, tempFolder, VIDEO } from './edge.js'
import {
  type Behaviour,
  BODY_LENGTH,
  breakAfter,
  bytesOf,
  serveBytes,
  serveInTwo,
  serveStatus,
  startOrigin,
  type TestOrigin,
} from './origin.js'
import { serveResource } from './resource.js'

describe('an edge filling its cache', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let o2: TestOrigin
  let edge: TestEdge

  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    o2 = await startOrigin()
    edge = await startTestEdge(folder.path, [o1, o2])
  })
  afterEach(async () => {
    await edge.stop()
    await Promise.all([o1.stop(), o2.stop()])
    await folder.remove()
  })

  const path = segment(1)
  const body = bytesOf(path, BODY_LENGTH)

  it('breaks the transfer, stores nothing and fetches again when the origin breaks in mid-body', async () => {
    o1.behave(breakAfter(100_000))
    await expect(edge.get(`/o1${path}`)).rejects.toThrow()
    await edge.idle()
    expect(await cacheFiles(folder.path)).toMatchObject({ entries: [], tmp: [] })
    o1.behave(serveBytes())
    const again = await edge.get(`/o1${path}`)
    expect([again.headers['x-cache'], again.body.equals(body), o1.requests.length]).toEqual(['miss', true, 2])
  })

  it('breaks the transfer and stores nothing when the origin falls silent in mid-body', async () => {
    const half = serveInTwo(1000)
    o1.behave(half.behaviour)
    await expect(edge.get(`/o1${path}`)).rejects.toThrow()
    await edge.idle()
    expect(await cacheFiles(folder.path)).toMatchObject({ entries: [], tmp: [] })
    half.release()
  })

  it('breaks the transfer and stores nothing when a chunked body ends without its last chunk', async () => {
    o1.behave((_request, response) => {
      response.writeHead(200, { 'content-type': 'video/mp4' })
      response.write(body.subarray(0, 5000), () => response.destroy())
    })
    await expect(edge.get(`/o1${path}`)).rejects.toThrow()
    await edge.idle()
    expect(await cacheFiles(folder.path)).toMatchObject({ entries: [], tmp: [] })
  })

  it.each([500, 503, 302, 403])('keeps nothing of a %i, and asks the others', async (status) => {
    o1.behave(serveStatus(status))
    o2.behave(serveStatus(status))
    const failed = await edge.get(`/o1${path}`)
    expect([failed.status, failed.headers['x-cache'], failed.headers['cache-control']]).toEqual([502, 'error', 'no-store'])
    o2.behave(serveBytes())
    const served = await edge.get(`/o1${path}`)
    expect([served.status, served.headers['x-origin'], served.body.equals(body)]).toEqual([200, 'o2', true])
  })

  it('never takes a part that nobody asked for as the whole', async () => {
    const part: Behaviour = (_request, response) => {
      response.writeHead(206, { 'content-length': 10, 'content-range': 'bytes 0-9/100' }).end('0123456789')
    }
    o1.behave(part)
    o2.behave(part)
    expect((await edge.get(`/o1${path}`)).status).toBe(502)
    o2.behave(serveBytes())
    for (const route of ['o1.o2', 'o1']) expect((await edge.get(`/${route}${path}`)).body.equals(body)).toBe(true)
  })

  it('breaks a body of unknown length that outgrows maxObject, stores nothing, and passes the next through', async () => {
    const large = 9 << 20
    o1.behave((_request, response) => {
      response.writeHead(200, { 'transfer-encoding': 'chunked' }).end(bytesOf(path, large))
    })
    await expect(edge.get(`/o1${path}`)).rejects.toThrow()
    await edge.idle()
    expect(await cacheFiles(folder.path)).toMatchObject({ entries: [], tmp: [] })
    const next = await edge.get(`/o1${path}`)
    expect([next.headers['x-cache'], next.body.equals(bytesOf(path, large))]).toEqual(['bypass', true])
    expect((await edge.admin('/metrics')).text).toMatch(/millrace_edge_origin_up\{origin="o1",.*\} 1/)
  })

  it.each([
    ['cache-control: private', { 'cache-control': 'private' }],
    ['cache-control: no-store', { 'cache-control': 'no-store' }],
    ['a content-coding', { 'content-encoding': 'br' }],
    ['vary: cookie', { vary: 'cookie' }],
  ])('stores nothing with %s, and gives each request an answer of its own', async (_what, headers) => {
    let served = 0
    o1.behave((_request, response) => {
      const mine = Buffer.from(`answer ${++served}`)
      response.writeHead(200, { 'content-length': mine.length, ...headers }).end(mine)
    })
    const answers = await Promise.all(Array.from({ length: 10 }, () => edge.get(`/o1${path}`)))
    expect(new Set(answers.map((answer) => answer.body.toString())).size).toBe(10)
    expect(answers.every((answer) => answer.headers['x-cache'] === 'bypass')).toBe(true)
    await edge.idle()
    expect(await cacheFiles(folder.path)).toMatchObject({ entries: [], tmp: [] })
  })

  it('keeps nothing private to itself, however long the header that says so', async () => {
    o1.behave(serveBytes(BODY_LENGTH, { 'cache-control': `private, ${'x'.repeat(300)}` }))
    for (let i = 0; i < 2; i++) expect((await edge.get(`/o1${path}`)).headers['x-cache']).toBe('bypass')
    expect((await cacheFiles(folder.path)).entries).toEqual([])
  })

  it('answers 503 with Retry-After beyond the limit of fills, and takes the next one afterwards', async () => {
    await edge.stop()
    edge = await startTestEdge(folder.path, [o1, o2], { fetch: { maxFills: 1, headersTimeout: '2s' } })
    const half = serveInTwo(1000)
    o1.behave(half.behaviour)
    const first = edge.get(`/o1${path}`)
    await until('the fill', () => o1.requests.length === 1)
    const refused = await edge.get(`/o1${segment(2)}`)
    expect([refused.status, refused.headers['retry-after'], refused.headers['x-cache']]).toEqual([503, '1', 'refused'])
    half.release()
    await first
    await edge.idle()
    expect((await edge.get(`/o2${segment(2)}`)).status).toBe(200)
  })

  it('passes on no malformed Range, which would look like a failure of the origin', async () => {
    o1.behave(serveBytes(BODY_LENGTH, { 'cache-control': 'no-store' }))
    await edge.get(`/o1${path}`)
    for (let i = 0; i < 4; i++) {
      const { text } = await raw(edge.port, `GET /o1${path} HTTP/1.1\r\nHost: e\r\nRange: bytes=0-\x7f\r\n\r\n`)
      expect(text).toMatch(/^HTTP\/1\.1 200 /)
    }
    expect((await edge.admin('/metrics')).text).toMatch(/millrace_edge_origin_up\{origin="o1",.*\} 1/)
  })

  it('asks the next origin when one breaks before its first byte', async () => {
    o1.behave(breakAfter(0))
    const answer = await edge.get(`/o1.o2${path}`)
    expect([answer.status, answer.headers['x-origin'], answer.body.equals(body)]).toEqual([200, 'o2', true])
  })

  it.each(['o1.o2', 'o1'])('hides a break from a client of route %s that waits for a range beyond it', async (route) => {
    const breaking = breakAfter(100_000)
    o1.behave((request, response) => (request.headers.range ? response.destroy() : breaking(request, response)))
    o2.behave(serveResource({ body, headers: {} }))
    const answer = await edge.get(`/${route}${path}`, { range: 'bytes=200000-200009' })
    expect([answer.status, answer.headers['x-origin'], answer.body.equals(body.subarray(200_000, 200_010))]).toEqual([206, 'o2', true])
    await o2.stop()
    const alone = await edge.get(`/${route}${segment(2)}`, { range: 'bytes=200000-200009' })
    expect([alone.status, alone.headers['x-cache']]).toEqual([502, 'error'])
  })

  it("lets waiters go on with their own origins when the leader's fail and no retry is left for it", async () => {
    await edge.stop()
    edge = await startTestEdge(folder.path, [o1, o2], { fetch: { retryBudget: { ratio: 0, minPerSecond: 0 } } })
    let refuse = () => {}
    o1.behave((_request, response) => {
      refuse = () => response.writeHead(503).end()
    })
    const leader = edge.get(`/o1${path}`)
    await until('the fill', () => o1.requests.length === 1)
    const others = Array.from({ length: 20 }, () => edge.get(`/o2${path}`))
    const same = ['o1', 'o1.o2'].map((route) => edge.get(`/${route}${path}`))
    await until('all are waiting', async () => (await edge.count('running_requests')) === 23)
    refuse()
    for (const answer of [leader, ...same]) expect((await answer).status).toBe(502)
    for (const answer of await Promise.all(others)) expect([answer.status, answer.body.equals(body)]).toEqual([200, true])
    expect([o1.requests.length, o2.requests.length]).toEqual([1, 1])
  })

  it('finishes a fill for other requests while one client reads nothing', async () => {
    const large = 6 << 20
    o1.behave(serveBytes(large))
    const stuck = connect(edge.port, '127.0.0.1', () => stuck.write(`GET /o1${path} HTTP/1.1\r\nHost: e\r\n\r\n`))
    stuck.pause()
    await until('the fill', () => o1.requests.length === 1)
    const answer = await edge.get(`/o1${path}`)
    expect(answer.body.equals(bytesOf(path, large))).toBe(true)
    await edge.idle()
    expect((await edge.get(`/o1${path}`)).headers['x-cache']).toBe('hit')
    stuck.destroy()
  })

  it('lets slow downloads that pass by the cache take no connection from a fill', async () => {
    await edge.stop()
    edge = await startTestEdge(folder.path, [o1], { fetch: { connections: 2, connectTimeout: '500ms', headersTimeout: '500ms' } })
    const large = 20 << 20
    const download = `/files/${VIDEO}/r1/large.mp4`
    let opened = 0
    o1.behave((request, response) => {
      opened += request.url === download ? 1 : 0
      serveBytes(request.url === download ? large : BODY_LENGTH)(request, response)
    })
    expect((await edge.get(`/o1${download}`)).headers['x-cache']).toBe('bypass')
    opened = 0
    const stuck = Array.from({ length: 4 }, () => {
      const socket = connect(edge.port, '127.0.0.1', () => socket.write(`GET /o1${download} HTTP/1.1\r\nHost: e\r\n\r\n`))
      return socket.pause()
    })
    await until('the downloads', () => opened === stuck.length)
    const answer = await edge.get(`/o1${path}`)
    expect([answer.status, answer.headers['x-cache']]).toEqual([200, 'miss'])
    for (const socket of stuck) socket.destroy()
  })

  it('goes on with the fill when the client that led it leaves', async () => {
    const half = serveInTwo(100_000)
    o1.behave(half.behaviour)
    const abort = new AbortController()
    const leader = await request(`${edge.url}/o1${path}`, { signal: abort.signal })
    const waiter = edge.get(`/o1${path}`)
    abort.abort()
    await expect(leader.body.arrayBuffer()).rejects.toThrow()
    half.release()
    expect((await waiter).body.equals(body)).toBe(true)
    await edge.idle()
    expect((await edge.get(`/o1${path}`)).headers['x-cache']).toBe('hit')
    expect(o1.requests.length).toBe(1)
  })

  it('passes what is larger than maxObject through unstored, ranges included', async () => {
    const large = 9 << 20
    o1.behave((request, response) => {
      const all = bytesOf(path, large)
      if (request.headers.range !== 'bytes=10-19') return void response.writeHead(200, { 'content-length': large }).end(all)
      response.writeHead(206, { 'content-length': 10, 'content-range': `bytes 10-19/${large}` }).end(all.subarray(10, 20))
    })
    const whole = await edge.get(`/o1${path}`)
    expect([whole.headers['x-cache'], whole.headers['content-length'], whole.body.equals(bytesOf(path, large))]).toEqual([
      'bypass',
      String(large),
      true,
    ])
    const part = await edge.get(`/o1${path}`, { range: 'bytes=10-19' })
    expect([part.status, part.headers['content-range'], part.body.equals(bytesOf(path, large).subarray(10, 20))]).toEqual([
      206,
      `bytes 10-19/${large}`,
      true,
    ])
    const head = await edge.get(`/o1${path}`, {}, 'HEAD')
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, String(large), 0])
    expect((await cacheFiles(folder.path)).entries).toEqual([])
  })

  it('gives a waiter the bytes that are there while the origin still sends', async () => {
    const half = serveInTwo(100_000)
    o1.behave(half.behaviour)
    const leader = edge.get(`/o1${path}`)
    await until('the fill', () => o1.requests.length === 1)
    const range = await edge.get(`/o1${path}`, { range: 'bytes=50000-99999' })
    expect([range.status, range.headers['x-cache'], range.body.equals(body.subarray(50_000, 100_000))]).toEqual([206, 'coalesced', true])
    half.release()
    expect((await leader).body.equals(body)).toBe(true)
    expect(o1.requests.length).toBe(1)
  })

  it('answers a herd of 200 on a cold key with one origin request and equal bytes for all', async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, () => edge.get(`/o1${path}`)))
    expect(answers.every((answer) => answer.status === 200 && answer.body.equals(body))).toBe(true)
    expect(o1.requests).toEqual([path])
    const phases = answers.map((answer) => answer.headers['x-cache'])
    expect(phases.filter((phase) => phase === 'miss').length).toBe(1)
    expect(phases.every((phase) => phase === 'miss' || phase === 'coalesced' || phase === 'hit')).toBe(true)
  })
})
