import { describe, expect, it } from 'vitest'
import { cacheFiles, segment, tempFolder } from './edge.js'
import { type Behaviour, BODY_LENGTH, serveBytes, startOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'
import { scene } from './scene.js'

const REQUESTS = 10
const FETCH = { lockTimeout: '1m', headersTimeout: '30s' }

/** Answers the first at once, and from then on no request before so many wait: one behind the other they would wait for ever. */
function holdUntil(count: number, answer: Behaviour): Behaviour {
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

describe('requests for what may not be stored', () => {
  const at = scene({ paths: [{ prefix: '/app', mode: 'generic', origin: 'o1' }], fetch: FETCH })

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

it('requests for what may not be stored do not queue at an edge of two workers either', async () => {
  const folder = await tempFolder()
  const o1 = await startOrigin(holdUntil(REQUESTS, serveBytes(BODY_LENGTH, { 'cache-control': 'private' })))
  const edge = await EdgeProcess.start(folder.path, [o1], { workers: 2, fetch: FETCH })
  try {
    const answers = await Promise.all(Array.from({ length: REQUESTS }, () => edge.get(`/o1${segment(1)}`)))
    for (const { status, headers, body } of answers) expect([status, headers['x-cache'], body.length]).toEqual([200, 'bypass', BODY_LENGTH])
    expect(o1.requests.length).toBe(REQUESTS + 1)
    expect(await cacheFiles(edge.cachePath)).toMatchObject({ entries: [], tmp: [] })
  } finally {
    await edge.end()
    await o1.stop()
    await folder.remove()
  }
})
