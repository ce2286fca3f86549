import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import { cacheFiles, segment } from './edge.js'
import { type Behaviour, BODY_LENGTH, bytesOf, serveBytes, serveStatus } from './origin.js'
import { scene } from './scene.js'

const silent: Behaviour = () => {}

describe('an edge whose origins are in trouble', () => {
  const at = scene()
  const ask = async (number: number, route = 'o1.o2') => {
    const { status, headers, body } = await at.edge.get(`/${route}${segment(number)}`)
    return [status, headers['x-origin'], body.equals(bytesOf(segment(number), BODY_LENGTH))]
  }
  const hedges = (outcome: string) => at.edge.count('origin_hedges_total', { name: 'outcome', value: outcome })

  describe('with a retry budget', () => {
    const attempts = () => at.o1.requests.length + at.o2.requests.length

    it('sends its origins no more than requests × (1 + ratio) + floor in a storm of failures', async () => {
      await at.restart({ fetch: { retryBudget: { ratio: 0.1, minPerSecond: 5, burst: 0 } } })
      for (const origin of [at.o1, at.o2]) origin.behave(serveStatus(503))
      const startedAt = performance.now()
      const answers = await Promise.all(Array.from({ length: 200 }, (_, index) => ask(index + 1)))
      const seconds = (performance.now() - startedAt) / 1000
      for (const [status] of answers) expect(status).toBe(502)
      expect(attempts()).toBeGreaterThanOrEqual(200)
      expect(attempts()).toBeLessThanOrEqual(Math.ceil(200 * 1.1 + 5 + 5 * seconds))
      expect(await at.edge.count('retry_budget_spent_total')).toBeGreaterThan(100)
    })

    it('counts the continuation of broken bodies among its retries', async () => {
      await at.restart({ fetch: { retryBudget: { ratio: 0, minPerSecond: 0 } } })
      at.o1.behave((request, response) => {
        response.writeHead(200, { 'content-length': BODY_LENGTH, etag: '"e"' })
        response.write(bytesOf(request.url ?? '', BODY_LENGTH).subarray(0, 100_000), () => response.destroy())
      })
      await expect(ask(1)).rejects.toThrow()
      expect([at.o2.requests.length, await at.edge.count('retry_budget_spent_total')]).toEqual([0, 1])
    })

    it('needs none to pass over a replica that is not there', async () => {
      await at.restart({ fetch: { retryBudget: { ratio: 0, minPerSecond: 0 } } })
      at.o1.behave(serveStatus(404))
      for (const number of [1, 2, 3]) expect(await ask(number)).toEqual([200, 'o2', true])
      expect(await at.edge.count('misses_total', { name: 'cause', value: 'replica-missing' })).toBe(3)
    })
  })

  describe('with fetch.hedgeAfter', () => {
    it('asks nobody twice when the first answers in time, nor without it', async () => {
      await at.restart({ fetch: { hedgeAfter: '10s' } })
      expect(await ask(1)).toEqual([200, 'o1', true])
      await at.restart()
      expect(await ask(2)).toEqual([200, 'o1', true])
      expect(at.o2.requests).toEqual([])
    })

    it('gives up when both are silent, and says so', async () => {
      await at.restart({ fetch: { hedgeAfter: '100ms', headersTimeout: '500ms' } })
      for (const origin of [at.o1, at.o2]) origin.behave(silent)
      expect((await ask(1))[0]).toBe(504)
      expect([at.o1.requests.length, at.o2.requests.length, await hedges('failed')]).toEqual([1, 1, 1])
    })

    it('serves all from the second when the first is silent, with one request to each, and stores what came', async () => {
      await at.restart({ fetch: { hedgeAfter: '100ms', headersTimeout: '30s' } })
      at.o1.behave(silent)
      for (const answer of await Promise.all(Array.from({ length: 50 }, () => ask(1)))) expect(answer).toEqual([200, 'o2', true])
      expect([at.o1.requests.length, at.o2.requests.length, await hedges('won')]).toEqual([1, 1, 1])
      await at.edge.idle()
      expect((await cacheFiles(at.folder)).entries.length).toBe(1)
    })

    it('serves from the first when that answers after all', async () => {
      await at.restart({ fetch: { hedgeAfter: '100ms', headersTimeout: '30s' } })
      at.o2.behave(silent)
      at.o1.behave(
        (request, response) => void until('the hedge', () => at.o2.requests.length === 1).then(() => serveBytes()(request, response)),
      )
      expect(await ask(1)).toEqual([200, 'o1', true])
      expect(await hedges('lost')).toBe(1)
    })
  })
})
