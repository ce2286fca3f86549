import { once } from 'node:events'
import { readdir, readlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { edgeStatusSchema } from '@millrace/common/contracts/edge-api'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { segment, startTestEdge, type TestEdge, tempFolder, VIDEO } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes, startOrigin, type TestOrigin } from './origin.js'

describe('an edge answering players', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: TestEdge

  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin(
      serveBytes(BODY_LENGTH, { 'cache-control': 'public, max-age=600', 'last-modified': 'Sun, 19 Nov 2000 08:52:00 GMT' }),
    )
    edge = await startTestEdge(folder.path, [o1])
  })
  afterEach(async () => {
    await edge.stop()
    await o1.stop()
    await folder.remove()
  })

  const path = segment(1)
  const body = bytesOf(path, BODY_LENGTH)

  it('answers a range beyond the end with 416', async () => {
    const beyond = await edge.get(`/o1${path}`, { range: `bytes=${BODY_LENGTH}-` })
    expect(beyond.status).toBe(416)
    expect(beyond.headers['content-range']).toBe(`bytes */${BODY_LENGTH}`)
  })

  it('honours If-Range: another ETag makes the range a whole', async () => {
    const { headers } = await edge.get(`/o1${path}`)
    const same = await edge.get(`/o1${path}`, { range: 'bytes=0-9', 'if-range': String(headers.etag) })
    const other = await edge.get(`/o1${path}`, { range: 'bytes=0-9', 'if-range': '"other"' })
    expect([same.status, other.status]).toEqual([206, 200])
  })

  it('fetches a miss once and answers the second request from disk, with the same headers and bytes', async () => {
    const miss = await edge.get(`/o1${path}?session=7`)
    await edge.idle()
    const hit = await edge.get(`/o1${path}`)
    for (const answer of [miss, hit]) {
      expect(answer.status).toBe(200)
      expect(answer.body.equals(body)).toBe(true)
      expect(answer.headers).toMatchObject({
        'content-type': 'video/mp4',
        'content-length': String(BODY_LENGTH),
        'cache-control': 'public, max-age=600',
        'accept-ranges': 'bytes',
        'x-origin': 'o1',
        'access-control-allow-origin': '*',
        'timing-allow-origin': '*',
        'last-modified': 'Sun, 19 Nov 2000 08:52:00 GMT',
      })
      expect(answer.headers.etag).toMatch(/^"[0-9a-f]{16}"$/)
      expect(Number(answer.headers.age)).toBeLessThan(5)
      expect(String(answer.headers['access-control-expose-headers'])).toContain('x-cache')
    }
    expect(miss.headers['x-cache']).toBe('miss')
    expect(hit.headers['x-cache']).toBe('hit')
    // The query belongs to the player, not to the origin.
    expect(o1.requests).toEqual([path])
    expect(o1.headers[0]).toMatchObject({ via: '1.1 e1', 'accept-encoding': 'identity' })
  })

  it.each([
    ['bytes=0-99', 0, 99],
    ['bytes=100000-', 100_000, BODY_LENGTH - 1],
    ['bytes=-500', BODY_LENGTH - 500, BODY_LENGTH - 1],
    [`bytes=299999-900000`, 299_999, BODY_LENGTH - 1],
  ])('answers Range %s with 206 on a miss and on a hit', async (range, start, end) => {
    for (const phase of ['miss', 'hit']) {
      const answer = await edge.get(`/o1${path}`, { range })
      expect(answer.status).toBe(206)
      expect(answer.headers).toMatchObject({
        'x-cache': phase,
        'content-range': `bytes ${start}-${end}/${BODY_LENGTH}`,
        'content-length': String(end - start + 1),
      })
      expect(answer.body.equals(body.subarray(start, end + 1))).toBe(true)
      await edge.idle()
    }
    expect(o1.requests.length).toBe(1)
  })

  it('answers If-None-Match with 304 on a miss and on a hit', async () => {
    const etag = String((await edge.get(`/o1${segment(2)}`, {}, 'HEAD')).headers.etag)
    const hit = await edge.get(`/o1${segment(2)}`, { 'if-none-match': `"a", W/${etag}` })
    expect([hit.status, hit.body.length, hit.headers['content-length'], hit.headers.etag]).toEqual([304, 0, undefined, etag])
    const miss = await edge.get(`/o1${path}`, { 'if-none-match': '*' })
    expect([miss.status, miss.headers['x-cache']]).toEqual([304, 'miss'])
    const modified = await edge.get(`/o1${path}`, { 'if-none-match': '"another"' })
    expect(modified.status).toBe(200)
  })

  it('answers conditions also where the body has no length yet', async () => {
    o1.behave((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/vtt', etag: '"1"' })
      response.end(body)
    })
    const same = await edge.get(`/o1${path}`, { 'if-none-match': '"1"' })
    expect([same.status, same.headers['x-cache'], same.headers.etag]).toEqual([304, 'miss', '"1"'])
    const other = await edge.get(`/o1${segment(2)}`, { 'if-none-match': '"2"' })
    expect([other.status, other.headers['x-cache'], other.body.equals(body)]).toEqual([200, 'miss', true])
  })

  it('answers HEAD with the length and no body, on a miss and on a hit', async () => {
    for (let i = 0; i < 2; i++) {
      const answer = await edge.get(`/o1${path}`, { range: 'bytes=0-9' }, 'HEAD')
      expect([answer.status, answer.headers['content-length'], answer.body.length]).toEqual([200, String(BODY_LENGTH), 0])
    }
  })

  it('answers a CORS preflight without asking anybody', async () => {
    const answer = await edge.get(`/o1${path}`, { origin: 'https://site.example', 'access-control-request-method': 'GET' }, 'OPTIONS')
    expect(answer.status).toBe(204)
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'GET, HEAD, OPTIONS',
      'access-control-max-age': '86400',
    })
    expect(answer.headers['access-control-allow-headers']).toContain('range')
    expect(o1.requests).toEqual([])
  })

  it('stores an empty body as such', async () => {
    o1.behave(serveBytes(0))
    for (const phase of ['miss', 'hit']) {
      const answer = await edge.get(`/o1/files/${VIDEO}/r1/empty.vtt`)
      expect([answer.status, answer.headers['x-cache'], answer.headers['content-length']]).toEqual([200, phase, '0'])
      await edge.idle()
    }
  })

  it('streams a body of unknown length and stores it at its clean end', async () => {
    o1.behave((request, response) => {
      response.writeHead(200, { 'content-type': 'text/vtt' })
      for (let at = 0; at < BODY_LENGTH; at += 50_000) response.write(bytesOf(request.url ?? '', BODY_LENGTH).subarray(at, at + 50_000))
      response.end()
    })
    const miss = await edge.get(`/o1${path}`)
    expect([miss.status, miss.headers['transfer-encoding'], miss.body.equals(body)]).toEqual([200, 'chunked', true])
    await edge.idle()
    const hit = await edge.get(`/o1${path}`, { range: 'bytes=10-19' })
    expect([hit.status, hit.headers['x-cache'], hit.body.equals(body.subarray(10, 20))]).toEqual([206, 'hit', true])
  })

  it('sends a small hit from RAM in one packet, head and body', async () => {
    const playlist = `/o1/files/${VIDEO}/r1/video-720p.m3u8`
    o1.behave(serveBytes(2000))
    await until('an answer from RAM', async () => {
      await edge.get(playlist)
      await edge.idle()
      return (await edge.count('answers_total', { name: 'tier', value: 'ram' })) > 0
    })
    const socket = connect({ port: edge.port, host: '127.0.0.1' })
    try {
      for (let i = 0; i < 5; i++) {
        socket.write(`GET ${playlist} HTTP/1.1\r\nHost: e\r\n\r\n`)
        const [first] = (await once(socket, 'data')) as [Buffer]
        const headEnd = first.indexOf('\r\n\r\n') + 4
        expect(first.subarray(0, headEnd).toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n.*\r\nx-cache: hit\r\n.*content-length: 2000\r\n/is)
        expect(first.length).toBe(headEnd + 2000)
      }
    } finally {
      socket.destroy()
    }
  })

  it('holds no more open files than openFiles, however many objects are asked for in turn', async () => {
    await edge.stop()
    edge = await startTestEdge(folder.path, [o1], { openFiles: 16, ram: { size: '0B' } })
    const openNow = async () => {
      const targets = await Promise.all((await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
      return targets.filter((target) => /\/v2\/[0-9a-f]{2}\//.test(target) && target.startsWith(folder.path)).length
    }
    const paths = Array.from({ length: 40 }, (_, index) => segment(index + 1))
    for (const one of paths) await edge.get(`/o1${one}`)
    await edge.idle()
    for (let round = 0; round < 2; round++) {
      for (const one of paths) {
        const hit = await edge.get(`/o1${one}`)
        expect([hit.headers['x-cache'], hit.body.equals(bytesOf(one, BODY_LENGTH))]).toEqual(['hit', true])
      }
      await Promise.all(paths.map((one) => edge.get(`/o1${one}`, { range: 'bytes=0-9' })))
      expect(await edge.count('open_files')).toBe(16)
      // Descriptors are closed behind the scenes.
      await until('the closes', async () => (await openNow()) <= 16)
    }
    expect(o1.requests.length).toBe(40)
  })

  it('reports itself on the admin listener: ready, metrics by phase, status by its contract', async () => {
    await edge.get(`/o1${path}`)
    await edge.idle()
    await edge.get(`/o1${path}`)
    expect(await edge.admin('/readyz')).toMatchObject({ status: 200 })
    expect((await edge.admin('/metrics')).text).toMatch(/millrace_edge_requests_total\{phase="hit",class="segment",.*\} 1/)
    const status = edgeStatusSchema.parse(JSON.parse((await edge.admin('/v1/status')).text))
    expect(status).toMatchObject({ id: 'e1', requests: { hit: 1, miss: 1 }, bytesSent: 2 * BODY_LENGTH, cache: { objects: 1 } })
  })
})
