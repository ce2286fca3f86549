import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { segment, startTestEdge, type TestEdge, tempFolder } from './edge.js'
import { type Behaviour, BODY_LENGTH, breakAfter, bytesOf, serveBytes, serveStatus, startOrigin, type TestOrigin } from './origin.js'

describe('an edge choosing among the origins of a route', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let o2: TestOrigin
  let edge: TestEdge

  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    o2 = await startOrigin()
    edge = await startTestEdge(folder.path, [o1, o2], { negativeTtl: '300ms', health: { probe: false, failures: 2, coolDown: '300ms' } })
  })
  afterEach(async () => {
    await edge.stop()
    await Promise.all([o1.stop(), o2.stop()])
    await folder.remove()
  })

  it('answers 502 when all are down, and 200 as soon as one is back', async () => {
    await Promise.all([o1.stop(), o2.stop()])
    const down = await edge.get(`/o1.o2${segment(1)}`)
    expect([
      down.status,
      down.headers['content-type'],
      down.headers['x-cache'],
      down.headers['x-origin'],
      down.headers['cache-control'],
    ]).toEqual([502, 'application/problem+json', 'error', undefined, 'no-store'])
    expect(JSON.parse(down.body.toString())).toMatchObject({ code: 'origins-failed', retryable: true })
    await o2.start()
    expect((await edge.get(`/o1.o2${segment(1)}`)).status).toBe(200)
  })

  it('answers 504 when all are silent', async () => {
    o1.behave(() => {})
    o2.behave(() => {})
    const answer = await edge.get(`/o1${segment(1)}`)
    expect([answer.status, JSON.parse(answer.body.toString()).code]).toEqual([504, 'origins-timeout'])
    expect([o1.requests.length, o2.requests.length]).toEqual([1, 1])
  })

  it.each<[string, (origin: TestOrigin) => unknown]>([
    ['is down', (origin) => origin.stop()],
    ['answers 500', (origin) => origin.behave(serveStatus(500))],
    ['is silent', (origin) => origin.behave(() => {})],
    ['has no replica (404)', (origin) => origin.behave(serveStatus(404))],
    ['has no replica any more (410)', (origin) => origin.behave(serveStatus(410))],
  ])('serves from the second origin when the first %s', async (_what, break1) => {
    await break1(o1)
    const answer = await edge.get(`/o1.o2${segment(1)}`)
    expect([answer.status, answer.headers['x-origin'], answer.body.equals(bytesOf(segment(1), BODY_LENGTH))]).toEqual([200, 'o2', true])
  })

  it('asks in the order of the route', async () => {
    expect((await edge.get(`/o2.o1${segment(1)}`)).headers['x-origin']).toBe('o2')
    expect((await edge.get(`/o1.o2${segment(2)}`)).headers['x-origin']).toBe('o1')
  })

  it('skips origins it does not know, and answers an uncached 404 when it knows none', async () => {
    expect((await edge.get(`/o9.o2${segment(1)}`)).headers['x-origin']).toBe('o2')
    const unknown = await edge.get(`/o8.o9${segment(1)}`)
    expect([unknown.status, unknown.headers['x-cache'], JSON.parse(unknown.body.toString()).code]).toEqual([
      404,
      'refused',
      'unknown-route',
    ])
  })

  it('answers 404 only when every origin asked says so: one that is down may have it', async () => {
    o1.behave(serveStatus(404))
    o2.behave(serveStatus(503))
    expect((await edge.get(`/o1.o2${segment(1)}`)).status).toBe(502)
    o2.behave(serveStatus(404))
    expect((await edge.get(`/o1.o2${segment(1)}`)).status).toBe(404)
  })

  it('remembers a 404 for a while, but only for the origins that said it', async () => {
    o1.behave(serveStatus(404))
    o2.behave(serveStatus(503))
    const first = await edge.get(`/o1${segment(1)}`)
    const second = await edge.get(`/o1${segment(1)}`)
    expect([first.status, first.headers['x-cache'], second.status, second.headers['x-cache']]).toEqual([404, 'miss', 404, 'negative'])
    expect([o1.requests.length, o2.requests.length]).toEqual([1, 1])
    o2.behave(serveBytes())
    const other = await edge.get(`/o1.o2${segment(1)}`)
    expect([other.status, other.headers['x-origin']]).toEqual([200, 'o2'])
    o1.behave(serveStatus(404))
    o2.behave(serveStatus(404))
    await edge.get(`/o1${segment(2)}`)
    for (const route of ['o1', 'o2', 'o2.o1']) expect((await edge.get(`/${route}${segment(2)}`)).headers['x-cache']).toBe('negative')
    o1.behave(serveBytes())
    await until('the 404 to be forgotten', async () => (await edge.get(`/o1${segment(2)}`)).status === 200)
  })

  it('asks the other known origins once when the route has no answer, and says which one had it', async () => {
    const breaks: [Behaviour, number][] = [
      [serveStatus(404), 1],
      [serveStatus(500), 2],
      [breakAfter(0), 3],
    ]
    for (const [behaviour, number] of breaks) {
      o1.behave(behaviour)
      const answer = await edge.get(`/o1${segment(number)}`)
      expect([answer.status, answer.headers['x-origin'], answer.body.equals(bytesOf(segment(number), BODY_LENGTH))]).toEqual([
        200,
        'o2',
        true,
      ])
    }
    expect(o2.requests).toEqual([1, 2, 3].map(segment))
  })

  it('asks a failing origin last, tries it again after the cool-down, and then trusts it', async () => {
    o1.behave(serveStatus(500))
    await edge.get(`/o1.o2${segment(1)}`)
    await edge.get(`/o1.o2${segment(2)}`)
    expect(o1.requests.length).toBe(2)
    await edge.get(`/o1.o2${segment(3)}`)
    expect(o1.requests.length).toBe(2)
    o1.behave(serveBytes())
    let number = 10
    await until('a trial of o1', async () => (await edge.get(`/o1.o2${segment(number++)}`)).headers['x-origin'] === 'o1')
    expect((await edge.get(`/o1.o2${segment(number)}`)).headers['x-origin']).toBe('o1')
  })

  it('asks an origin last whose bodies keep breaking, though its heads are fine', async () => {
    o1.behave(breakAfter(100_000))
    for (const number of [1, 2]) await expect(edge.get(`/o1.o2${segment(number)}`)).rejects.toThrow()
    expect((await edge.get(`/o1.o2${segment(3)}`)).headers['x-origin']).toBe('o2')
    expect((await edge.admin('/metrics')).text).toMatch(/millrace_edge_origin_up\{origin="o1",.*\} 0/)
  })

  it('uses an origin that counts as down when there is no other', async () => {
    o1.behave(serveStatus(500))
    for (let number = 1; number <= 3; number++) await edge.get(`/o1${segment(number)}`)
    o1.behave(serveBytes())
    expect((await edge.get(`/o1${segment(4)}`)).status).toBe(200)
  })

  it('serves those who waited too long, and asked a hung origin in vain, what the fill stored meanwhile', async () => {
    await edge.stop()
    edge = await startTestEdge(folder.path, [o1, o2], { fetch: { lockTimeout: '200ms', headersTimeout: '1500ms' } })
    let answer = () => {}
    o1.behave((request, response) => {
      if (o1.requests.length === 1) answer = () => serveBytes()(request, response)
    })
    o2.behave(() => {})
    const leader = edge.get(`/o1${segment(1)}`)
    await until('the fill', () => o1.requests.length === 1)
    const waiters = Array.from({ length: 10 }, () => edge.get(`/o1${segment(1)}`))
    await until('the waiters to ask by themselves', () => o1.requests.length === 11)
    answer()
    for (const { status, body } of await Promise.all([leader, ...waiters])) {
      expect([status, body.equals(bytesOf(segment(1), BODY_LENGTH))]).toEqual([200, true])
    }
  })
})
