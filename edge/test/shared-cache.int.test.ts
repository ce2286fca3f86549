import { join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import { cacheFiles, segment } from './edge.js'
import { type Behaviour, BODY_LENGTH, bytesOf, serveBytes } from './origin.js'
import { twoWorkers } from './two-workers.js'
import type { Viewer } from './viewers.js'

const MIB = 1 << 20
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

describe('the one cache of two workers', () => {
  const at = twoWorkers()
  /** @returns the phase */
  const ask = async (viewer: Viewer, number: number, length = BODY_LENGTH) => {
    const { status, headers, body } = await viewer.get(`/o1${segment(number)}`)
    expect([number, status, body.equals(bytesOf(segment(number), length))]).toEqual([number, 200, true])
    await at.edge.idle()
    return headers['x-cache']
  }
  const evictedMisses = () => at.edge.metric('millrace_edge_misses_total', { name: 'cause', value: 'evicted' })

  it('keeps to one budget, whoever asks; what was evicted counts once, and is a miss at each worker, which says why', async () => {
    await at.start({ ram: { size: '0B' }, cache: { path: join(at.folder, 'cache'), size: '1MiB', maxObject: '512KiB' } })
    const viewers = await at.viewers()
    for (const number of numbers(12)) for (const viewer of viewers) await ask(viewer, number)
    expect(at.o1.requests).toEqual(numbers(12).map(segment))
    const { entries, tmp, diskBytes } = await cacheFiles(at.edge.cachePath)
    expect([entries.length, tmp]).toEqual([3, []])
    expect(diskBytes).toBeLessThanOrEqual(MIB)
    expect(await at.edge.metric('millrace_edge_cache_objects')).toBe(3)
    const entryBytes = (await at.edge.metric('millrace_edge_cache_bytes')) / 3
    expect(await at.edge.metric('millrace_edge_cache_evicted_bytes_total')).toBe(9 * entryBytes)
    expect(JSON.parse((await at.edge.admin('/v1/status')).text).cache).toMatchObject({ objects: 3, evictedBytes: 9 * entryBytes })
    expect(await evictedMisses()).toBe(0)
    for (const [index, viewer] of viewers.entries()) {
      expect(await ask(viewer, index + 1)).toBe('miss')
      expect(await evictedMisses()).toBe(index + 1)
    }
    // The two that came back and the latest one of before.
    for (const viewer of viewers) for (const number of [1, 2, 12]) expect(await ask(viewer, number)).toBe('hit')
  })

  it('holds an object once on disk and once in memory, however many workers ask for it', async () => {
    at.o1.behave(serveBytes(MIB))
    await at.start()
    const viewers = await at.viewers()
    const fromRam = () => at.edge.metric('millrace_edge_answers_total', { name: 'tier', value: 'ram' })
    await until('hits from memory', async () => {
      for (const viewer of viewers) await ask(viewer, 1, MIB)
      return (await fromRam()) >= 3
    })
    for (const viewer of viewers) expect(await ask(viewer, 1, MIB)).toBe('hit')
    expect(await at.edge.metric('millrace_edge_ram_objects')).toBe(1)
    expect(await at.edge.metric('millrace_edge_cache_objects')).toBe(1)
    expect((await cacheFiles(at.edge.cachePath)).entries).toHaveLength(1)
    expect(at.o1.requests).toEqual([segment(1)])
  })

  it('spreads objects over its disks by their sizes, each on one of them', async () => {
    at.o1.behave(serveBytes(1000))
    const disks = [
      { path: join(at.folder, 'a'), size: '16MiB' },
      { path: join(at.folder, 'b'), size: '48MiB' },
    ]
    await at.start({ cache: { disks, maxObject: '1MiB' } })
    const viewers = await at.viewers()
    for (const number of numbers(200)) await viewers[number % 2]!.get(`/o1${segment(number)}`)
    await at.edge.idle()
    const [a, b] = await Promise.all(disks.map(async ({ path }) => (await cacheFiles(path)).entries.length))
    expect(a! + b!).toBe(200)
    // 50 expected; the standard deviation is 6.
    expect(a!).toBeGreaterThan(20)
    expect(a!).toBeLessThan(80)
    expect(await at.edge.metric('millrace_edge_cache_objects', { name: 'disk', value: disks[0]!.path })).toBe(a)
    for (const number of [1, 2, 3, 4]) for (const viewer of viewers) expect(await ask(viewer, number, 1000)).toBe('hit')
  })

  describe('in generic mode', () => {
    const generic = { paths: [{ prefix: '/site', mode: 'generic', origin: 'o1' }] }
    const page: Behaviour = (request, response) => {
      const language = request.headers['accept-language'] ?? 'none'
      const body = `${request.method} ${request.url} ${language} ${at.o1.requests.length}`
      response.writeHead(200, { 'content-length': body.length, 'cache-control': 'max-age=600', vary: 'accept-language' }).end(body)
    }
    const get = async (viewer: Viewer, language: string, method = 'GET', id = 1) => {
      const { headers, body } = await viewer.get(`/site/page?id=${id}`, { 'accept-language': language }, method)
      await at.edge.idle()
      return { phase: headers['x-cache'], body: body.toString() }
    }

    it('gives a variant that one worker fetched as a hit at the other, and no other variant', async () => {
      at.o1.behave(page)
      await at.start(generic)
      const [one, two] = await at.viewers()
      const [english, french] = [await get(one, 'en'), await get(two, 'fr')]
      expect([english.phase, french.phase]).toEqual(['miss', 'miss'])
      for (const viewer of [one, two]) {
        expect(await get(viewer, 'en')).toEqual({ phase: 'hit', body: english.body })
        expect(await get(viewer, 'fr')).toEqual({ phase: 'hit', body: french.body })
      }
      expect(at.o1.requests).toHaveLength(2)
    })

    it('forgets a page at both workers, in each variant, when one of them has passed on an unsafe method', async () => {
      at.o1.behave(page)
      await at.start(generic)
      const viewers = await at.viewers()
      for (const [id, sender, method] of [
        [1, viewers[0], 'POST'],
        [2, viewers[1], 'DELETE'],
      ] as const) {
        const ask = (viewer: Viewer, language: string) => get(viewer, language, 'GET', id)
        const before = { en: await ask(viewers[0], 'en'), fr: await ask(viewers[0], 'fr') }
        for (const viewer of viewers) expect(await ask(viewer, 'en')).toEqual({ phase: 'hit', body: before.en.body })
        expect((await get(sender, 'en', method, id)).body).toMatch(method)
        for (const viewer of viewers) {
          for (const language of ['en', 'fr'] as const) expect((await ask(viewer, language)).body).not.toBe(before[language].body)
        }
        for (const viewer of viewers) expect((await ask(viewer, 'fr')).phase).toBe('hit')
      }
    })
  })
})
