import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import { type Answer, segment, VIDEO } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes, serveInTwo, serveStatus } from './origin.js'
import { serveResource } from './resource.js'
import { scene } from './scene.js'

const PATH = segment(1)
const BODY = bytesOf(PATH, BODY_LENGTH)

/** Each answer says the same of itself to GET and to HEAD, where the same happens to both. */
describe('what an answer tells of itself', () => {
  const at = scene({ negativeTtl: '10s' })
  const told = ({ status, headers }: Answer) => [
    status,
    headers['x-cache'],
    headers['x-origin'],
    String(headers['cache-status']).replace(/ttl=5\d/, 'ttl=5x'),
    headers.age === undefined ? undefined : Math.round(Number(headers.age) / 10) * 10,
    headers.via,
  ]
  const get = async (path = PATH) => told(await at.edge.get(`/o1${path}`))
  const head = async (path = PATH) => {
    const answer = await at.edge.get(`/o1${path}`, {}, 'HEAD')
    expect(answer.body.length).toBe(0)
    return told(answer)
  }
  const aged = { body: BODY, headers: { etag: '"1"', 'cache-control': 'max-age=160', age: '101' } }

  it('error: nobody else may store it, and no origin is named', async () => {
    at.o1.behave(serveStatus(500))
    at.o2.behave(serveStatus(500))
    for (const ask of [get, head]) expect(await ask()).toEqual([502, 'error', undefined, 'e1; fwd=uri-miss', undefined, undefined])
  })

  it('refused: neither hit nor forwarded', async () => {
    for (const path of [`/dash/${VIDEO}/r1/nonsense`, '/..']) {
      expect((await get(path)).slice(1)).toEqual(['refused', undefined, 'e1', undefined, undefined])
    }
    expect(at.o1.requests).toEqual([])
  })

  it('negative: remembered, and so a hit', async () => {
    at.o1.behave(serveStatus(404))
    at.o2.behave(serveStatus(404))
    expect(await get()).toEqual([404, 'miss', undefined, 'e1; fwd=uri-miss', undefined, undefined])
    for (const ask of [get, head])
      expect(await ask()).toEqual([404, 'negative', undefined, 'e1; hit; detail=negative', undefined, undefined])
  })

  it('bypass: forwarded, with what came back, and the age that the origin said', async () => {
    at.o1.behave(serveResource({ ...aged, headers: { ...aged.headers, 'cache-control': 'private' } }))
    for (const ask of [get, head]) expect(await ask()).toEqual([200, 'bypass', 'o1', 'e1; fwd=bypass; fwd-status=200', 100, '1.1 e1'])
  })

  it('miss, and then hits from each tier: stored, with what is left of its lifetime', async () => {
    at.o1.behave(serveResource(aged))
    expect(await get()).toEqual([200, 'miss', 'o1', 'e1; fwd=uri-miss; ttl=5x; stored', 100, '1.1 e1'])
    await at.edge.idle()
    for (let i = 0; i < 6; i++)
      for (const ask of [get, head]) expect(await ask()).toEqual([200, 'hit', 'o1', 'e1; hit; ttl=5x', 100, '1.1 e1'])
    expect(await at.edge.count('answers_total', { name: 'tier', value: 'ram' })).toBeGreaterThan(0)
    at.forward(30_000)
    expect((await get()).slice(3, 5)).toEqual(
      ['e1; hit; ttl=28', 130].map((said) => (typeof said === 'string' ? expect.stringMatching(/^e1; hit; ttl=2\d$/) : said)),
    )
  })

  it('miss of what no disk takes: not stored', async () => {
    await at.restart({ cache: { path: at.folder, size: '1MiB', maxObject: '1MiB' } })
    at.o1.behave(serveBytes(1 << 20, { 'cache-control': 'max-age=58' }))
    expect(await get()).toEqual([200, 'miss', 'o1', 'e1; fwd=uri-miss; ttl=5x', 0, '1.1 e1'])
  })

  it('coalesced: forwarded together with another request', async () => {
    const half = serveInTwo(1000)
    at.o1.behave((request, response) => {
      response.setHeader('cache-control', 'max-age=58')
      half.behaviour(request, response)
    })
    const leader = get()
    await until('the fill', () => at.o1.requests.length === 1)
    expect(await head()).toEqual([200, 'coalesced', 'o1', 'e1; fwd=uri-miss; ttl=5x; collapsed', 0, '1.1 e1'])
    const waiter = get()
    await until('both', async () => (await at.edge.count('running_requests')) === 2)
    half.release()
    expect((await leader)[1]).toBe('miss')
    expect(await waiter).toEqual([200, 'coalesced', 'o1', 'e1; fwd=uri-miss; ttl=5x; collapsed', 0, '1.1 e1'])
  })

  it('expired, then revalidated: forwarded because stale, as old as the confirmation', async () => {
    at.o1.behave(serveResource({ body: BODY, headers: { etag: '"1"', 'cache-control': 'max-age=59' } }))
    await get()
    await at.edge.idle()
    for (const ask of [get, head]) {
      at.forward(60_000)
      expect(await ask()).toEqual([200, 'revalidated', 'o1', 'e1; fwd=stale; ttl=5x', 0, '1.1 e1'])
    }
    at.forward(60_000)
    at.o1.behave(serveResource({ body: BODY, headers: { etag: '"2"', 'cache-control': 'max-age=59' } }))
    expect(await get()).toEqual([200, 'miss', 'o1', 'e1; fwd=stale; ttl=5x; stored', 0, '1.1 e1'])
  })

  it('stale: from the store, with how long it has been so', async () => {
    at.o1.behave(serveResource({ body: BODY, headers: { etag: '"1"', 'cache-control': 'max-age=60' } }))
    await get()
    await at.edge.idle()
    at.forward(90_000)
    at.o1.behave(serveStatus(500))
    at.o2.behave(serveStatus(500))
    for (const ask of [get, head]) {
      expect(await ask()).toEqual([200, 'stale', 'o1', expect.stringMatching(/^e1; hit; ttl=-3\d$/), 90, '1.1 e1'])
    }
  })
})
