import { signRoute } from '@millrace/common/contracts/route'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { segment, tempFolder, VIDEO } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes, startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'
import { plantStranger, untilScanned } from './scanned.js'
import { scene } from './scene.js'
import { type Viewer, viewerOfEach } from './viewers.js'

const KEY = 'the-secret-of-the-prefetch-tests-0123456'
const ROUTE = signRoute({ origins: ['o1'], exp: 4_000_000_000, kid: 'k', key: Buffer.from(KEY), videoId: VIDEO, rev: 'r1' })
const OTHER_VIDEO = VIDEO.replace('v8', 'v9')
const settings = (prefetch: object = {}) => ({
  routes: { keys: { k: KEY }, require: true },
  prefetch: { enabled: true, next: false, ...prefetch },
})
const nor = (url: string) => ({ 'cmcd-request': `nor="${encodeURIComponent(url)}"` })
const name = (number: number) => `fragment-${number}-f1-v1-x3.m4s`

describe('a prefetch', () => {
  const at = scene((folder) => {
    plantStranger(folder)
    return settings()
  })
  /** An edge that has not looked into its folders yet takes anything for stored. */
  const ready = () => untilScanned(at.folder).then(() => at.edge.idle())
  const restart = (overrides: Record<string, unknown>) => at.restart(overrides).then(ready)
  beforeEach(ready)
  const ask = (number: number, headers: Record<string, string> = {}, route = ROUTE) => at.edge.get(`/${route}${segment(number)}`, headers)
  const outcome = (value: string) => at.edge.count('prefetch_total', { name: 'outcome', value })
  /** Which segments the origin was asked for: the prefetch may be there before the request that caused it. */
  const asked = () => at.o1.requests.map((path) => Number(/fragment-(\d+)-/.exec(path)?.[1])).sort((a, b) => a - b)
  const askedFor = (number: number) => until(`segment ${number}`, () => at.o1.requests.includes(segment(number)))

  it.each([
    ['another asset', `../../${OTHER_VIDEO}/r1/${name(5)}`],
    ['another revision', `../r2/${name(5)}`],
    ['an absolute path of another asset', `/${ROUTE}/dash/${OTHER_VIDEO}/r1/${name(5)}`],
    ['another route', `/o2${segment(5)}`],
    ['no route', segment(5)],
    ['a way out of the tree', '../../../../../../etc/passwd'],
    ['a way out in escapes', `..%2f..%2f${OTHER_VIDEO}%2fr1%2f${name(5)}`],
    ['a playlist', `../../../files/${VIDEO}/r1/video-720p.m3u8`],
    ['a download', `../../../files/${VIDEO}/r1/whole.mp4`],
    ['another host', `http://o2.example/${ROUTE}${segment(5)}`],
    ['another host, in short', `//o2.example/${ROUTE}${segment(5)}`],
    ['itself', name(1)],
    ['nothing', ''],
  ])('of %s never happens, whatever the player names', async (_what, url) => {
    await ask(1, nor(url))
    await at.edge.idle()
    // Named in the same words by somebody who is to be believed: whatever the first one caused has been asked for before.
    await ask(1, nor(name(9)))
    await askedFor(9)
    expect([asked(), at.o2.requests]).toEqual([[1, 9], []])
    expect(await at.edge.count('prefetch_total')).toBe(1)
  })

  it('never happens for a request that is refused', async () => {
    const forged = `${ROUTE.slice(0, -1)}${ROUTE.endsWith('A') ? 'B' : 'A'}`
    for (const route of ['o1', forged]) expect((await ask(1, nor(name(5)), route)).status).toBe(403)
    await ask(1, nor(name(9)))
    await askedFor(9)
    expect(asked()).toEqual([1, 9])
  })

  it('never happens unless it is enabled', async () => {
    await restart({ prefetch: {} })
    await ask(1, nor(name(5)))
    await restart(settings())
    await ask(1, nor(name(9)))
    await askedFor(9)
    expect(asked()).toEqual([1, 9])
  })

  it('beyond maxConcurrent is left out as busy', async () => {
    await restart(settings({ maxConcurrent: 1 }))
    let release = () => {}
    at.o1.behave((request, response) => {
      if (request.url !== segment(5)) return serveBytes()(request, response)
      release = () => serveBytes()(request, response)
    })
    await ask(1, nor(name(5)))
    await askedFor(5)
    await ask(1, nor(name(6)))
    expect([await outcome('started'), await outcome('busy')]).toEqual([1, 1])
    release()
    await at.edge.idle()
    await ask(1, nor(name(7)))
    await askedFor(7)
    expect(asked()).toEqual([1, 5, 7])
  })

  it('beyond the rate is left out as over budget, until that is paid', async () => {
    await restart(settings({ rate: '64KiB' }))
    await ask(1, nor(name(5)))
    await askedFor(5)
    await at.edge.idle()
    await ask(1, nor(name(6)))
    expect([await outcome('started'), await outcome('over-budget')]).toEqual([1, 1])
    // 300,000 bytes at 64 KiB/s, of which the first second was free.
    at.forward(5000)
    await ask(1, nor(name(7)))
    await askedFor(7)
    expect(asked()).toEqual([1, 5, 7])
  })

  it('of what is stored, or known to be missing, asks nobody', async () => {
    await restart({ ...settings(), negativeTtl: '1m' })
    const missing = (request: { url?: string | undefined }) => request.url === segment(6)
    for (const origin of [at.o1, at.o2])
      origin.behave((request, response) => (missing(request) ? void response.writeHead(404).end() : serveBytes()(request, response)))
    await ask(5)
    expect((await ask(6)).status).toBe(404)
    await at.edge.idle()
    await ask(1, nor(name(5)))
    await ask(1, nor(name(6)))
    expect([await outcome('stored'), await outcome('pointless'), await outcome('started')]).toEqual([1, 1, 0])
    expect(asked()).toEqual([1, 5, 6])
  })

  it('says nothing to the origin of what the player told', async () => {
    await at.edge.get(`/${ROUTE}${segment(1)}?CMCD=${encodeURIComponent(`bl=4000,nor="${name(5)}",sid="a"`)}`)
    await ask(2, { ...nor(name(6)), 'cmcd-session': 'sid="b"' })
    await askedFor(5)
    await askedFor(6)
    expect(new Set(at.o1.requests)).toEqual(new Set([1, 2, 5, 6].map(segment)))
    for (const headers of at.o1.headers) expect(Object.keys(headers).filter((field) => field.startsWith('cmcd'))).toEqual([])
  })

  it('that fails is no failure of any request, and the object is fetched when it is asked for', async () => {
    at.o1.behave((request, response) => (request.url === segment(5) ? response.destroy() : serveBytes()(request, response)))
    await at.o2.stop()
    expect((await ask(1, nor(name(5)))).status).toBe(200)
    await askedFor(5)
    await at.edge.idle()
    at.o1.behave(serveBytes())
    const { headers, body } = await ask(5)
    expect([headers['x-cache'], body.equals(bytesOf(segment(5), BODY_LENGTH))]).toEqual(['miss', true])
  })

  it.each<[string, Record<string, string>, string]>([
    ['the header', nor(name(5)), ''],
    ['the query', {}, `?CMCD=${encodeURIComponent(`nor="${name(5)}"`)}`],
    ['the header, by its whole path', nor(`/${ROUTE}${segment(5)}`), ''],
  ])('of what the player names in %s makes its request a hit', async (_where, headers, query) => {
    expect((await at.edge.get(`/${ROUTE}${segment(1)}${query}`, headers)).headers['x-cache']).toBe('miss')
    await askedFor(5)
    await at.edge.idle()
    const hit = await ask(5)
    expect([hit.headers['x-cache'], hit.body.equals(bytesOf(segment(5), BODY_LENGTH))]).toEqual(['hit', true])
    expect(asked()).toEqual([1, 5])
    // Nobody asked for it: it is no request.
    expect(await at.edge.count('requests_total')).toBe(2)
  })

  it('happens on a hit too, and once for all viewers of it', async () => {
    await ask(1)
    await at.edge.idle()
    for (let i = 0; i < 5; i++) await ask(1, nor(name(5)))
    await askedFor(5)
    await at.edge.idle()
    expect([await at.edge.count('prefetch_total'), asked()]).toEqual([1, [1, 5]])
  })

  it('that is under way is joined by the request for it', async () => {
    let release = () => {}
    at.o1.behave((request, response) => {
      if (request.url !== segment(5)) return serveBytes()(request, response)
      release = () => serveBytes()(request, response)
    })
    await ask(1, nor(name(5)))
    await askedFor(5)
    const asking = ask(5)
    await until('its request', async () => (await at.edge.count('running_requests')) === 1)
    release()
    const { headers, body } = await asking
    expect([headers['x-cache'], body.equals(bytesOf(segment(5), BODY_LENGTH))]).toEqual(['coalesced', true])
    expect(asked()).toEqual([1, 5])
  })

  it('is of the following segment where the player names none', async () => {
    await restart(settings({ next: true }))
    await ask(1)
    await askedFor(2)
    await at.edge.idle()
    expect((await ask(2)).headers['x-cache']).toBe('hit')
    await askedFor(3)
    expect(asked()).toEqual([1, 2, 3])
  })

  it('needs no signature where none is demanded', async () => {
    await restart({ ...settings(), routes: { keys: { k: KEY }, require: false } })
    await ask(1, nor(name(5)), 'o1')
    await askedFor(5)
  })
})

describe('a prefetch by two workers', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: EdgeProcess
  let viewers: Viewer[] = []

  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    edge = await EdgeProcess.prepare(folder.path, [o1], { workers: 2, ...settings() })
    plantStranger(edge.cachePath)
    await edge.start()
    await untilScanned(edge.cachePath)
    viewers = await viewerOfEach(edge.port, edge.roles().workers)
  })
  afterEach(async () => {
    for (const viewer of viewers) viewer.close()
    await edge.end()
    await o1.stop()
    await folder.remove()
  })

  it('is one request to the origin, and a hit at both', async () => {
    let release = () => {}
    o1.behave((request, response) => {
      if (request.url !== segment(5)) return serveBytes()(request, response)
      release = () => serveBytes()(request, response)
    })
    await Promise.all(viewers.map((viewer) => viewer.get(`/${ROUTE}${segment(1)}`, nor(name(5)))))
    await until('both to have wished for it', async () => (await edge.metric('millrace_edge_prefetch_total')) === 2)
    expect(await edge.metric('millrace_edge_prefetch_total', { name: 'outcome', value: 'started' })).toBe(1)
    await until('the prefetch', () => o1.requests.includes(segment(5)))
    release()
    await edge.idle()
    for (const viewer of viewers) expect((await viewer.get(`/${ROUTE}${segment(5)}`)).headers['x-cache']).toBe('hit')
    expect([...o1.requests].sort()).toEqual([segment(1), segment(5)])
  })
})
