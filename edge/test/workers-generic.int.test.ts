import { until } from '@millrace/common/testing/until'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { raw, segment, tempFolder } from './edge.js'
import { type Behaviour, bytesOf, serveBytes, startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'
import { type Viewer, viewerOfEach } from './viewers.js'

const fresh: Behaviour = serveBytes(20_000, { 'cache-control': 'max-age=600' })

describe('two workers with a generic path', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: EdgeProcess
  let viewers: [Viewer, Viewer]

  beforeAll(async () => {
    folder = await tempFolder()
    o1 = await startOrigin(fresh)
    edge = await EdgeProcess.start(folder.path, [o1], { workers: 2, paths: [{ prefix: '/app', mode: 'generic', origin: 'o1' }] })
    viewers = (await viewerOfEach(edge.port, edge.roles().workers)) as [Viewer, Viewer]
  })
  afterEach(() => {
    o1.behave(fresh)
    o1.requests.length = 0
  })
  afterAll(async () => {
    for (const viewer of viewers) viewer.close()
    await edge.end()
    await o1.stop()
    await folder.remove()
  })

  const keeperFaults = () => edge.lines.filter(({ msg }) => msg === 'keeper')

  it.each<[string, Record<string, string>]>([
    ['a Cookie of 4 KB', { cookie: 'c'.repeat(4096) }],
    ['a Cookie of 12 KB', { cookie: 'c'.repeat(12_000) }],
    ['a field name of 100 characters', { ['x'.repeat(100)]: 'y' }],
  ])('answer a request with %s, cache what it brings, and keep their keeper', async (what, headers) => {
    const path = `/app/${what.length}-${headers.cookie?.length ?? 0}`
    for (const viewer of viewers) {
      const { status, body } = await viewer.get(path, headers)
      expect([status, body.equals(bytesOf(path, 20_000))]).toEqual([200, true])
      await edge.idle()
    }
    expect(o1.requests).toEqual([path])
    expect(keeperFaults()).toEqual([])
  })

  it('refuse a request with a control character in a field, and keep their keeper', async () => {
    await viewers[0].get(`/o1${segment(1)}`)
    await edge.idle()
    for (let times = 0; times < 4; times++) {
      const { text } = await raw(edge.port, `GET /app/del-${times} HTTP/1.1\r\nhost: e\r\nx-odd: a\x7fb\r\n\r\n`)
      expect(text).toMatch(/^HTTP\/1\.1 400 /)
    }
    for (const [index, viewer] of viewers.entries()) {
      const miss = await viewer.get(`/o1${segment(2 + index)}`)
      expect([miss.status, miss.headers['x-cache'], miss.body.length]).toEqual([200, 'miss', 20_000])
    }
    expect(keeperFaults()).toEqual([])
  })

  describe('of which an answer may not be stored', () => {
    const BIG = 5_000_000
    const unstorable = (length: number) => serveBytes(length, { 'cache-control': 'no-store' })

    it.each<[string, Record<string, string>]>([
      ['private', { 'cache-control': 'private, max-age=60' }],
      ['no-store', { 'cache-control': 'no-store' }],
      ['without a lifetime or a validator', { etag: '' }],
    ])('ask its origin once: %s', async (what, headers) => {
      o1.behave((request, response) => {
        const body = bytesOf(request.url ?? '', 20_000)
        response.writeHead(200, { 'content-length': body.length, ...(headers.etag === '' ? {} : headers) }).end(body)
      })
      for (const [index, viewer] of viewers.entries()) {
        const path = `/app/${what.length}/${index}`
        const { status, headers: fields, body } = await viewer.get(path)
        expect([status, fields['x-cache'], body.equals(bytesOf(path, 20_000))]).toEqual([200, 'bypass', true])
      }
      expect(o1.requests.length).toBe(2)
    })

    it('stream a large one as it comes, asked for once', async () => {
      o1.behave(unstorable(BIG))
      const { status, body } = await viewers[0].get('/app/big')
      expect([status, body.equals(bytesOf('/app/big', BIG)), o1.requests]).toEqual([200, true, ['/app/big']])
    })

    it('hold its origin back for a client that reads slowly, and lose no byte', async () => {
      const length = 60_000_000
      const origin: { left: () => number } = { left: () => 0 }
      o1.behave((request, response) => {
        unstorable(length)(request, response)
        origin.left = () => request.socket.writableLength
      })
      const answer = await viewers[0].open('/app/slow')
      answer.pause()
      let last = -1
      await until('the origin to be held back', () => {
        const still = origin.left() === last
        last = origin.left()
        return still
      })
      expect(last).toBeGreaterThan(length / 2)
      const chunks: Buffer[] = []
      for await (const chunk of answer) chunks.push(chunk as Buffer)
      expect([Buffer.concat(chunks).equals(bytesOf('/app/slow', length)), o1.requests.length]).toEqual([true, 1])
    })

    it('end its transfer when the client leaves in the middle, or before it has begun', async () => {
      const ended: string[] = []
      const waiting: (() => void)[] = []
      o1.behave((request, response) => {
        response.on('close', () => ended.push(request.url ?? ''))
        if (request.url === '/app/leaves-during') unstorable(60_000_000)(request, response)
        else waiting.push(() => unstorable(60_000_000)(request, response))
      })
      const [during] = await viewerOfEach(edge.port, edge.roles().workers)
      const [before] = await viewerOfEach(edge.port, edge.roles().workers)
      const answer = await during!.open('/app/leaves-during')
      answer.on('error', () => undefined)
      answer.once('readable', () => during!.close())
      answer.destroy()
      const never = before!.open('/app/leaves-before').catch((error: Error) => error)
      await until('the origin to be asked', () => waiting.length === 1)
      before!.close()
      expect(await never).toBeInstanceOf(Error)
      waiting[0]!()
      await until('the end of both', () => ended.length === 2)
      expect(o1.requests.length).toBe(2)
      expect(keeperFaults()).toEqual([])
    })

    it('cut it when the keeper is killed meanwhile, and go on with the next one', async () => {
      o1.behave(unstorable(60_000_000))
      const killed = edge.roles().keeper!
      const answer = await viewers[0].open('/app/killed')
      answer.on('error', () => undefined)
      const closed = new Promise((resolve) => answer.once('close', resolve))
      answer.pause()
      process.kill(killed, 'SIGKILL')
      answer.resume()
      await closed
      expect(answer.complete).toBe(false)
      await edge.replaced(killed)
      o1.behave(unstorable(20_000))
      expect((await viewers[1].get('/app/after')).body.equals(bytesOf('/app/after', 20_000))).toBe(true)
      expect(o1.requests).toEqual(['/app/killed', '/app/after'])
    })
  })
})
