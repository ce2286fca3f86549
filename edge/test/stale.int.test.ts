import { readFile, writeFile } from 'node:fs/promises'
import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import { BODY_OFFSET } from '../src/cache/entry-format.js'
import { cacheFiles, segment } from './edge.js'
import { type Behaviour, BODY_LENGTH, bytesOf, serveBytes, serveStatus } from './origin.js'
import { serveResource } from './resource.js'
import { scene } from './scene.js'

const PATH = segment(1)
const BODY = bytesOf(PATH, BODY_LENGTH)
const NEWER = bytesOf('newer', BODY_LENGTH)

const silent: Behaviour = () => {}
const hangUp: Behaviour = (_request, response) => response.destroy()

describe('a stale response', () => {
  const at = scene()
  const failing = (behaviour: Behaviour) => {
    for (const origin of [at.o1, at.o2]) origin.behave(behaviour)
  }
  /** Stores it with this Cache-Control, whose lifetime of a minute ended so many seconds ago. */
  const store = async (cacheControl: string, secondsAgo: number) => {
    at.o1.behave(serveResource({ body: BODY, headers: { etag: '"1"', 'cache-control': cacheControl } }))
    await at.edge.get(`/o1${PATH}`)
    await at.edge.idle()
    at.forward(60_000 + secondsAgo * 1000)
  }
  const ask = async () => {
    const { status, headers, body } = await at.edge.get(`/o1${PATH}`)
    return [status, headers['x-cache'], body.equals(BODY) ? 'stored' : body.equals(NEWER) ? 'newer' : 'other']
  }

  describe('when no origin can answer', () => {
    it.each(['must-revalidate', 'proxy-revalidate', 's-maxage=60', 'no-cache', 'stale-if-error=5'])(
      'is not served where its origin forbids that (%s)',
      async (directive) => {
        await store(`max-age=60, ${directive}`, 10)
        failing(serveStatus(500))
        expect(await ask()).toEqual([502, 'error', 'other'])
      },
    )

    it('is not served beyond stale.ifError, nor at all with 0s', async () => {
      await at.restart({ stale: { ifError: '30s' } })
      await store('max-age=60', 10)
      failing(serveStatus(503))
      expect(await ask()).toEqual([200, 'stale', 'stored'])
      at.forward(30_000)
      expect(await ask()).toEqual([502, 'error', 'other'])
      await at.restart({ stale: { ifError: '0s' } })
      expect(await ask()).toEqual([502, 'error', 'other'])
    })

    it('is not served in the place of a 404 by all of them', async () => {
      await store('max-age=60, stale-if-error=600', 10)
      failing(serveStatus(404))
      expect((await ask())[0]).toBe(404)
    })

    describe('and what happens while they are waited for counts', () => {
      const OTHERS = Array.from({ length: 20 }, (_, index) => segment(index + 2))
      /** Asks for the stale object, lets `meanwhile` happen while its first origin keeps it waiting, then has both fail. */
      const askAround = async (meanwhile: () => Promise<unknown>) => {
        await at.restart({ openFiles: 16, ram: { size: '0B' }, stale: { ifError: '60s' } })
        await store('max-age=60', 0)
        at.o1.behave(serveBytes(BODY_LENGTH, { 'cache-control': 'max-age=6000' }))
        for (const path of OTHERS) await at.edge.get(`/o1${path}`)
        await at.edge.idle()
        let fail = () => {}
        at.o1.requests.length = 0
        at.o1.behave((_request, response) => {
          fail = () => response.writeHead(500).end()
        })
        at.o2.behave(serveStatus(500))
        at.forward(10_000)
        const asked = ask()
        await until('an origin to be asked', () => at.o1.requests.length === 1)
        await meanwhile()
        fail()
        return asked
      }

      it('a purge: it is not served any more', async () => {
        expect(await askAround(() => at.purge({ scope: 'all' }))).toEqual([502, 'error', 'other'])
      })

      it('the end of its window: it is not served any more', async () => {
        expect(await askAround(async () => at.forward(60_000))).toEqual([502, 'error', 'other'])
      })

      it('other objects taking its open file: it is served, and so are they, with their own bytes', async () => {
        const others = async () => {
          for (const path of OTHERS) {
            const { status, headers, body } = await at.edge.get(`/o1${path}`)
            expect([status, headers['x-cache'], body.equals(bytesOf(path, BODY_LENGTH))]).toEqual([200, 'hit', true])
          }
        }
        expect(await askAround(others)).toEqual([200, 'stale', 'stored'])
        await others()
        expect(await at.edge.count('checksum_failures_total')).toBe(0)
      })
    })

    it.each<[string, Behaviour | 'down']>([
      ['500', serveStatus(500)],
      ['403', serveStatus(403)],
      ['a hang-up', hangUp],
      ['silence', silent],
      ['no connection', 'down'],
    ])('is served as the last resort, whatever they do: %s', async (_what, behaviour) => {
      await store('max-age=60, stale-if-error=600', 10)
      if (behaviour === 'down') await Promise.all([at.o1.stop(), at.o2.stop()])
      else failing(behaviour)
      for (let i = 0; i < 2; i++) expect(await ask()).toEqual([200, 'stale', 'stored'])
      if (behaviour === 'down') await at.o1.start()
      at.o1.behave(serveResource({ body: NEWER, headers: { etag: '"2"', 'cache-control': 'max-age=60' } }))
      at.forward(10_000)
      await until('the new one', async () => (await ask())[2] === 'newer')
    })

    it('is served to conditions, ranges and HEAD, and after a restart', async () => {
      await store('max-age=60', 10)
      failing(hangUp)
      await at.restart()
      const same = await at.edge.get(`/o1${PATH}`, { 'if-none-match': '"1"' })
      const part = await at.edge.get(`/o1${PATH}`, { range: 'bytes=-5' })
      const head = await at.edge.get(`/o1${PATH}`, {}, 'HEAD')
      expect([same, part, head].map(({ status, headers }) => [status, headers['x-cache']])).toEqual([
        [304, 'stale'],
        [206, 'stale'],
        [200, 'stale'],
      ])
      expect([part.body.equals(BODY.subarray(-5)), head.headers['content-length']]).toEqual([true, String(BODY_LENGTH)])
    })

    it('serves 100 at once that wait for the same failing origins, each of which is asked once', async () => {
      await store('max-age=60', 10)
      at.o1.requests.length = 0
      const answers: (() => void)[] = []
      failing((_request, response) => answers.push(() => response.writeHead(500).end()))
      const asking = Promise.all(Array.from({ length: 100 }, ask))
      for (let origin = 1; origin <= 2; origin++) {
        await until('an origin to be asked', () => answers.length === origin)
        await until('all to wait', async () => (await at.edge.count('running_requests')) === 100)
        answers[origin - 1]!()
      }
      for (const answer of await asking) expect(answer).toEqual([200, 'stale', 'stored'])
      expect([at.o1.requests.length, at.o2.requests.length]).toEqual([1, 1])
    })
  })

  describe('under stale-while-revalidate', () => {
    it.each(['max-age=60, stale-while-revalidate=5', 'max-age=60, must-revalidate, stale-while-revalidate=600'])(
      'waits for its origin beyond its window and where it must (%s)',
      async (cacheControl) => {
        await store(cacheControl, 10)
        at.o1.behave(serveResource({ body: NEWER, headers: { etag: '"2"', 'cache-control': 'max-age=60' } }))
        expect(await ask()).toEqual([200, 'miss', 'newer'])
      },
    )

    it('is served at once to all while one request asks the origin; then the new one is', async () => {
      await store('max-age=60, stale-while-revalidate=600', 10)
      at.o1.requests.length = 0
      let answer = () => {}
      at.o1.behave((request, response) => {
        answer = () => serveResource({ body: NEWER, headers: { etag: '"2"', 'cache-control': 'max-age=60' } })(request, response)
      })
      for (const said of await Promise.all(Array.from({ length: 50 }, ask))) expect(said).toEqual([200, 'stale', 'stored'])
      await until('the origin to be asked', () => at.o1.requests.length === 1)
      expect(await ask()).toEqual([200, 'stale', 'stored'])
      answer()
      await at.edge.idle()
      expect(await ask()).toEqual([200, 'hit', 'newer'])
      expect(at.o1.requests.length).toBe(1)
    })

    it('is served also while its origin fails behind the scenes, which no viewer notices', async () => {
      await at.restart({ stale: { whileRevalidate: '1h', ifError: '0s' } })
      await store('max-age=60', 10)
      failing(hangUp)
      for (let i = 0; i < 5; i++) {
        expect(await ask()).toEqual([200, 'stale', 'stored'])
        await at.edge.idle()
      }
    })

    it('costs the hits of a slow revalidation no place among those that wait for its fill', async () => {
      await at.restart({ fetch: { maxWaiters: 1 } })
      await store('max-age=60, stale-while-revalidate=600', 10)
      let answer = () => {}
      at.o1.behave((request, response) => {
        answer = () => serveResource({ body: NEWER, headers: { etag: '"2"', 'cache-control': 'max-age=60' } })(request, response)
      })
      for (let i = 0; i < 5; i++) expect(await ask()).toEqual([200, 'stale', 'stored'])
      at.forward(600_000)
      const waiting = ask()
      await until('it to wait', async () => (await at.edge.count('running_requests')) === 1)
      answer()
      expect(await waiting).toEqual([200, 'coalesced', 'newer'])
    })

    it('is fetched anew where its bytes turn out damaged', async () => {
      await at.restart({ ram: { size: '0B' }, cache: { path: at.folder, size: '64MiB', maxObject: '8MiB', verify: '0s' } })
      await store('max-age=60, stale-while-revalidate=600', 10)
      const [file] = (await cacheFiles(at.folder)).entries
      const bytes = await readFile(file!)
      bytes[BODY_OFFSET]! ^= 1
      await writeFile(file!, bytes)
      at.o1.behave(serveResource({ body: NEWER, headers: { etag: '"2"', 'cache-control': 'max-age=60' } }))
      expect(await ask()).toEqual([200, expect.stringMatching(/^(miss|coalesced|hit)$/), 'newer'])
    })

    it('is confirmed behind the scenes', async () => {
      await store('max-age=60, stale-while-revalidate=600', 10)
      expect(await ask()).toEqual([200, 'stale', 'stored'])
      await until('the confirmation', async () => (await ask())[1] === 'hit')
      expect(await ask()).toEqual([200, 'hit', 'stored'])
      expect(at.o1.headers.map((headers) => headers['if-none-match'])).toEqual([undefined, '"1"'])
    })
  })
})
