import { once } from 'node:events'
import { until } from '@millrace/common/testing/until'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { isRunning } from '../src/harness/proc.js'
import { cacheFiles, segment, tempFolder } from './edge.js'
import { type Behaviour, BODY_LENGTH, bytesOf, serveBytes, serveInTwo, startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'
import { type Viewer, viewerOfEach } from './viewers.js'

const HERD = 1000

describe('two workers on one port', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: EdgeProcess
  let viewers: Viewer[] = []

  beforeAll(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    // Bodies in RAM would hide who reads the disk.
    edge = await EdgeProcess.start(folder.path, [o1], {
      workers: 2,
      ram: { size: '0B' },
      fetch: { headersTimeout: '20s', lockTimeout: '20s' },
    })
  })
  afterEach(() => {
    for (const viewer of viewers) viewer.close()
    viewers = []
    o1.behave(serveBytes())
  })
  afterAll(async () => {
    await edge.end()
    await o1.stop()
    await folder.remove()
  })

  const ofEach = async () => {
    viewers = await viewerOfEach(edge.port, edge.roles().workers)
    return viewers as [Viewer, Viewer]
  }
  /** Answers when so many requests wait at the edge. */
  const whenWaiting =
    (requests: number, answer: Behaviour): Behaviour =>
    (request, response) => {
      void until('the herd', async () => (await edge.metric('millrace_edge_running_requests')) >= requests).then(() =>
        answer(request, response),
      )
    }
  const herd = async (path: string) => {
    const answers = await Promise.all(Array.from({ length: HERD }, () => edge.get(`/o1${path}`)))
    const expected = bytesOf(path, BODY_LENGTH)
    expect(answers.every(({ status, body }) => status === 200 && body.equals(expected))).toBe(true)
    const phases = new Map<string, number>()
    for (const { headers } of answers) phases.set(`${headers['x-cache']}`, (phases.get(`${headers['x-cache']}`) ?? 0) + 1)
    return phases
  }

  it('make one origin request of 1,000 concurrent ones for a key that nobody has', async () => {
    o1.behave(whenWaiting(HERD, serveBytes()))
    o1.requests.length = 0
    const phases = await herd(segment(1))
    expect(o1.requests).toEqual([segment(1)])
    expect(phases).toEqual(
      new Map([
        ['miss', 1],
        ['coalesced', HERD - 1],
      ]),
    )
  })

  it('make one origin request of 1,000 concurrent ones for a key that has just expired', async () => {
    const short = serveBytes(BODY_LENGTH, { 'cache-control': 'max-age=1' })
    o1.behave(short)
    const first = await edge.get(`/o1${segment(2)}`)
    const { etag } = first.headers
    await edge.idle()
    const storedAt = Date.now()
    // Asked of nobody: a request would renew it.
    await until('its expiry', () => Date.now() > storedAt + 1500)
    o1.behave(
      whenWaiting(HERD, (request, response) => {
        if (request.headers['if-none-match'] !== etag) return short(request, response)
        // Fresh for longer than the herd takes.
        response.writeHead(304, { etag: `${etag}`, 'cache-control': 'max-age=600' }).end()
      }),
    )
    o1.requests.length = 0
    const phases = await herd(segment(2))
    expect(o1.requests).toEqual([segment(2)])
    expect(phases.get('revalidated')).toBe(HERD)
  })

  it('lose one when it is killed in mid-transfer: only its own viewers notice, and the port is never without one', async () => {
    const [here, there] = await ofEach()
    const [doomed] = edge.roles().workers as [number]
    const half = serveInTwo(100_000)
    o1.behave(half.behaviour)
    const broken = await here.open(`/o1${segment(3)}`)
    const unharmed = await there.open(`/o1${segment(3)}`)
    expect([broken.headers['x-cache'], unharmed.headers['x-cache']]).toEqual(['miss', 'coalesced'])
    const before = await edge.metric('millrace_edge_requests_total')
    process.kill(doomed, 'SIGKILL')
    const [error] = await once(broken.resume(), 'error')
    expect(error.code).toBe('ECONNRESET')
    half.release()
    const chunks: Buffer[] = []
    for await (const chunk of unharmed) chunks.push(chunk)
    expect(Buffer.concat(chunks).equals(bytesOf(segment(3), BODY_LENGTH))).toBe(true)
    const statuses = new Set<number>()
    await until('its successor', async () => {
      statuses.add((await edge.admin('/readyz')).status)
      statuses.add((await there.get(`/o1${segment(3)}`)).status)
      return !isRunning(doomed) && (await edge.childrenReady(2))
    })
    expect([...statuses]).toEqual([200])
    // What the dead one had told of its requests still counts.
    expect(await edge.metric('millrace_edge_requests_total')).toBeGreaterThanOrEqual(before)
    expect(await edge.metric('millrace_edge_child_restarts_total', { name: 'role', value: 'worker' })).toBe(1)
  })

  it('both serve what one of them fetched, from one file, also after one was replaced', async () => {
    o1.requests.length = 0
    for (const viewer of await ofEach()) {
      for (const number of [1, 3, 4]) {
        const { status, body } = await viewer.get(`/o1${segment(number)}`)
        expect([status, body.equals(bytesOf(segment(number), BODY_LENGTH))]).toEqual([200, true])
        await edge.idle()
      }
    }
    expect(o1.requests).toEqual([segment(4)])
    for (const viewer of viewers) expect((await viewer.get(`/o1${segment(4)}`)).headers['x-cache']).toBe('hit')
    expect((await cacheFiles(edge.cachePath)).entries).toHaveLength(4)
    expect(await edge.metric('millrace_edge_cache_objects')).toBe(4)
  })
})
