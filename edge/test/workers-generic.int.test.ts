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
})
