import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import { segment } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes, serveStatus } from './origin.js'
import { startRawOrigin } from './raw-origin.js'
import { scene } from './scene.js'

const HEALTH = { failures: 2, coolDown: '10m', probe: { interval: '100ms', timeout: '200ms' } }

describe('probes of origins', () => {
  const at = scene({ health: HEALTH })
  const up = async (id: string) => at.edge.count('origin_up', { name: 'origin', value: id })
  const untilUp = (id: string, value: number) => until(`${id} up: ${value}`, async () => (await up(id)) === value)
  /** What viewers cause; probes are none of it. */
  const attempts = (id: string) => at.edge.count('origin_attempts_total', { name: 'origin', value: id })
  const ask = async (number: number) => {
    const { status, headers, body } = await at.edge.get(`/o1.o2${segment(number)}`)
    return [status, headers['x-origin'], body.equals(bytesOf(segment(number), BODY_LENGTH))]
  }

  it('take a stopped origin out before any viewer notices, and in again when it is back', async () => {
    await at.o1.stop()
    await untilUp('o1', 0)
    expect(await ask(1)).toEqual([200, 'o2', true])
    expect([await attempts('o1'), await attempts('o2')]).toEqual([0, 1])
    await at.o1.start()
    await untilUp('o1', 1)
    expect(await ask(2)).toEqual([200, 'o1', true])
    expect(await attempts('o2')).toBe(1)
  })

  it.each([
    ['answers 503', serveStatus(503)],
    ['is silent', () => {}],
  ])('take an origin out that %s, and in again', async (_what, behaviour) => {
    at.o1.behave(behaviour)
    await untilUp('o1', 0)
    expect(await ask(1)).toEqual([200, 'o2', true])
    expect(at.o1.requests).not.toContain(segment(1))
    at.o1.behave(serveBytes())
    await untilUp('o1', 1)
    expect(await ask(2)).toEqual([200, 'o1', true])
  })

  it('leave an origin in that answers, whatever it says below 500', async () => {
    at.o1.behave(serveStatus(404))
    const before = at.o1.requests.length
    await until('some probes', () => at.o1.requests.length >= before + 5)
    expect(await up('o1')).toBe(1)
    expect(new Set(at.o1.requests)).toEqual(new Set(['/']))
  })

  it('ask for health.probe.path, of each origin, and nobody with probe: false', async () => {
    await at.restart({ health: { ...HEALTH, probe: { ...HEALTH.probe, path: '/alive?deep=1' } } })
    at.o1.requests.length = at.o2.requests.length = 0
    await until('probes', () => [at.o1, at.o2].every(({ requests }) => requests.filter((path) => path === '/alive?deep=1').length >= 2))
    await at.restart({ health: { ...HEALTH, probe: false } })
    at.o1.requests.length = at.o2.requests.length = 0
    await at.o1.stop()
    // Longer than a probe would have needed: two requests fail before o1 is asked last.
    for (const number of [1, 2, 3]) expect(await ask(number)).toEqual([200, 'o2', true])
    expect([await attempts('o1'), at.o2.requests]).toEqual([2, [1, 2, 3].map(segment)])
  })
})

describe('an origin that takes connections and never says a word of TLS', () => {
  const at = scene()

  it('costs its viewers no more than fetch.connectTimeout', async () => {
    const silent = await startRawOrigin(() => {})
    try {
      const origins = [
        { id: 'o1', url: silent.url.replace('http:', 'https:') },
        { id: 'o2', url: at.o2.url },
      ]
      await at.restart({ origins, fetch: { connectTimeout: '300ms', headersTimeout: '20s' } })
      const began = performance.now()
      const { status, headers, body } = await at.edge.get(`/o1.o2${segment(1)}`)
      const took = performance.now() - began
      expect([status, headers['x-origin'], body.length]).toEqual([200, 'o2', BODY_LENGTH])
      expect(silent.connections()).toBeGreaterThan(0)
      expect(took).toBeGreaterThan(250)
      expect(took).toBeLessThan(1000)
    } finally {
      await silent.stop()
    }
  })
})
