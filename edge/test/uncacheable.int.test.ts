import { describe, expect, it } from 'vitest'
import { cacheFiles, segment } from './edge.js'
import { type Behaviour, BODY_LENGTH, serveBytes } from './origin.js'
import { scene } from './scene.js'

const REQUESTS = 10

describe('requests for what may not be stored', () => {
  const at = scene({ paths: [{ prefix: '/app', mode: 'generic', origin: 'o1' }], fetch: { lockTimeout: '1m', headersTimeout: '30s' } })
  /** Answers the first at once, and from then on no request before so many wait: one behind the other they would wait for ever. */
  const holdUntil = (count: number, answer: Behaviour): Behaviour => {
    const held: (() => void)[] = []
    let first = true
    return (request, response) => {
      if (first) {
        first = false
        return answer(request, response)
      }
      held.push(() => answer(request, response))
      if (held.length === count) for (const release of held.splice(0)) release()
    }
  }

  it.each<[string, string, Record<string, string>, number]>([
    ['private', `/o1${segment(1)}`, { 'cache-control': 'private' }, REQUESTS],
    ['no-store', `/o1${segment(1)}`, { 'cache-control': 'no-store' }, REQUESTS],
    ['vary: *', `/o1${segment(1)}`, { vary: '*' }, REQUESTS],
    ['a content-coding', `/o1${segment(1)}`, { 'content-encoding': 'br' }, REQUESTS],
    // There the one that led has its answer already.
    ['private, in generic mode', '/app/a', { 'cache-control': 'private' }, REQUESTS - 1],
  ])('do not queue one behind another (%s): all are with the origin at once', async (_what, path, headers, together) => {
    at.o1.behave(holdUntil(together, serveBytes(BODY_LENGTH, headers)))
    const answers = await Promise.all(Array.from({ length: REQUESTS }, () => at.edge.get(path)))
    for (const { status, headers: fields, body } of answers)
      expect([status, fields['x-cache'], body.length]).toEqual([200, 'bypass', BODY_LENGTH])
    expect(at.o1.requests.length).toBe(together + 1)
    await at.edge.idle()
    expect(await cacheFiles(at.folder)).toMatchObject({ entries: [], tmp: [] })
  })
})
