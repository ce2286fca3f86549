import { until } from '@millrace/common/testing/until'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { AnswerHeads } from '../src/serve/answer-head.js'
import { cacheFiles, segment } from './edge.js'
import { BODY_LENGTH, bytesOf, serveStatus } from './origin.js'
import { type Resource, serveResource } from './resource.js'
import { scene } from './scene.js'

const PATH = segment(1)
const MODIFIED = 'Sun, 19 Nov 2000 08:52:00 GMT'
const FIRST = bytesOf('first', BODY_LENGTH)
const SECOND = bytesOf('second', BODY_LENGTH + 1)

describe('a stored response that has expired', () => {
  const at = scene({ stale: { ifError: '0s' } })
  const resource: Resource = { body: FIRST, headers: {} }
  /** Stores it, and lets its lifetime pass. */
  const expire = async (headers: Record<string, string> = { etag: '"1"' }) => {
    resource.headers = { 'cache-control': 'max-age=60', ...headers }
    await at.edge.get(`/o1${PATH}`)
    await at.edge.idle()
    at.forward(61_000)
  }
  const ask = async () => {
    const answer = await at.edge.get(`/o1${PATH}`)
    await at.edge.idle()
    return [answer.headers['x-cache'], answer.body.equals(FIRST) ? 'first' : answer.body.equals(SECOND) ? 'second' : answer.status]
  }
  const conditions = () => at.o1.headers.map((headers) => headers['if-none-match'] ?? headers['if-modified-since'])
  const revalidations = async (outcome: string) => at.edge.count('revalidations_total', { name: 'outcome', value: outcome })
  beforeEach(() => {
    resource.body = FIRST
    delete resource.confirms
    at.o1.behave(serveResource(resource))
    at.o2.behave(serveStatus(404))
  })

  it('is served to nobody while no origin answers, and confirmed when one does again', async () => {
    await expire()
    for (const origin of [at.o1, at.o2]) origin.behave(serveStatus(500))
    expect(await ask()).toEqual(['error', 502])
    at.o1.behave(serveResource(resource))
    expect(await ask()).toEqual(['revalidated', 'first'])
    expect([await revalidations('failed'), await revalidations('confirmed')]).toEqual([1, 1])
  })

  it('is forgotten when its origins say 404, and served to nobody', async () => {
    await expire()
    at.o1.behave(serveStatus(404))
    expect(await ask()).toEqual(['miss', 404])
    expect((await cacheFiles(at.folder)).entries).toEqual([])
    expect(await revalidations('gone')).toBe(1)
  })

  it('is forgotten when its origin now says that it is private', async () => {
    await expire()
    resource.headers = { etag: '"2"', 'cache-control': 'private' }
    resource.body = SECOND
    expect(await ask()).toEqual(['bypass', 'second'])
    expect((await cacheFiles(at.folder)).entries).toEqual([])
  })

  it('is not confirmed by a 304 that names something else: the whole is fetched', async () => {
    await expire()
    resource.confirms = { etag: '"2"' }
    at.o1.behave((request, response) => {
      // A 304 about another representation, and after that what this one has become.
      if (request.headers['if-none-match'] !== undefined) response.writeHead(304, { etag: '"2"' }).end()
      else serveResource({ body: SECOND, headers: { etag: '"2"', 'cache-control': 'max-age=60' } })(request, response)
    })
    expect(await ask()).toEqual(['miss', 'second'])
    expect(await ask()).toEqual(['hit', 'second'])
  })

  it('without a validator is fetched anew, without conditions', async () => {
    await expire({})
    expect(await ask()).toEqual(['miss', 'first'])
    expect(conditions()).toEqual([undefined, undefined])
    expect(await at.edge.count('misses_total', { name: 'cause', value: 'expired' })).toBe(1)
  })

  it('is replaced by a 200', async () => {
    await expire()
    resource.headers = { ...resource.headers, etag: '"2"' }
    resource.body = SECOND
    expect(await ask()).toEqual(['miss', 'second'])
    expect(await ask()).toEqual(['hit', 'second'])
    expect(conditions()).toEqual([undefined, '"1"'])
    expect((await cacheFiles(at.folder)).entries.length).toBe(1)
    expect(await revalidations('replaced')).toBe(1)
  })

  it.each<[string, Record<string, string>, string]>([
    ['ETag', { etag: '"1"' }, '"1"'],
    ['weak ETag', { etag: 'W/"1"' }, 'W/"1"'],
    ['Last-Modified', { 'last-modified': MODIFIED }, MODIFIED],
  ])(
    'is confirmed by its %s: the body stays, its clients see the new fields, also after a restart',
    async (_name, validator, condition) => {
      await expire(validator)
      resource.confirms = { 'cache-control': 'max-age=600', 'content-language': 'de' }
      const confirmed = await at.edge.get(`/o1${PATH}`)
      expect([confirmed.status, confirmed.headers['x-cache'], confirmed.body.equals(FIRST)]).toEqual([200, 'revalidated', true])
      at.forward(61_000)
      await at.restart()
      const hit = await at.edge.get(`/o1${PATH}`)
      expect([hit.headers['x-cache'], hit.body.equals(FIRST)]).toEqual(['hit', true])
      for (const { headers } of [confirmed, hit]) {
        expect(headers).toMatchObject({
          ...validator,
          'cache-control': 'max-age=600',
          'content-language': 'de',
          'content-length': String(BODY_LENGTH),
        })
      }
      expect(conditions()).toEqual([undefined, condition])
    },
  )

  it("answers a client's own condition, HEAD and ranges once it is confirmed", async () => {
    await expire()
    const same = await at.edge.get(`/o1${PATH}`, { 'if-none-match': '"1"' })
    expect([same.status, same.headers['x-cache'], same.headers.etag]).toEqual([304, 'revalidated', '"1"'])
    at.forward(61_000)
    const head = await at.edge.get(`/o1${PATH}`, {}, 'HEAD')
    expect([head.status, head.headers['x-cache'], head.headers['content-length']]).toEqual([200, 'revalidated', String(BODY_LENGTH)])
    at.forward(61_000)
    const part = await at.edge.get(`/o1${PATH}`, { range: 'bytes=5-9', 'if-none-match': '"0"' })
    expect([part.status, part.headers['x-cache'], part.body.equals(FIRST.subarray(5, 10))]).toEqual([206, 'revalidated', true])
    expect(conditions()).toEqual([undefined, '"1"', '"1"', '"1"'])
  })

  it('is revalidated at each use when its origin wants that (no-cache, max-age=0)', async () => {
    for (const cacheControl of ['no-cache', 'max-age=0']) {
      await expire({ etag: `"${cacheControl}"`, 'cache-control': cacheControl })
      for (let i = 0; i < 3; i++) expect((await ask())[0]).toBe('revalidated')
    }
  })

  it.each([
    ['confirmed', 'first', false],
    ['replaced', 'second', true],
  ])('and is asked for by 200 at once costs its origin one request (%s)', async (_what, body, changed) => {
    await expire()
    if (changed) {
      resource.headers = { ...resource.headers, etag: '"2"' }
      resource.body = SECOND
    }
    const answers = await Promise.all(Array.from({ length: 200 }, () => at.edge.get(`/o1${PATH}`)))
    const expected = body === 'first' ? FIRST : SECOND
    expect(answers.every((answer) => answer.status === 200 && answer.body.equals(expected))).toBe(true)
    expect(conditions()).toEqual([undefined, '"1"'])
  })

  it('is opened once more for all that waited for its confirmation', async () => {
    await at.restart({ fetch: { headersTimeout: '20s' } })
    await expire()
    let answer: (() => void) | undefined
    at.o1.behave((request, response) => {
      answer = () => serveResource(resource)(request, response)
    })
    // Made for each file that is opened.
    const opened = vi.spyOn(AnswerHeads.prototype, 'prepare')
    const asking = Promise.all(Array.from({ length: 200 }, () => at.edge.get(`/o1${PATH}`)))
    await until('all to wait', async () => answer && (await at.edge.count('running_requests')) === 200)
    answer!()
    expect((await asking).every(({ headers, body }) => headers['x-cache'] === 'revalidated' && body.equals(FIRST))).toBe(true)
    // When it was found stale, and when it was confirmed.
    expect(opened.mock.calls.length).toBe(2)
    opened.mockRestore()
  })
})
