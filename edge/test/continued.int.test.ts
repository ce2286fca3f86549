import type { IncomingMessage, ServerResponse } from 'node:http'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { type Behaviour, bytesOf, startOrigin, type TestOrigin } from './origin.js'
import { get, is200, outcomes, readContinued, startGroup, type TestGroup } from './origin-group.js'

const LENGTH = 300_000
const OVERLAP = 65_536

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function start(
  behaviours: Behaviour[],
  options: Parameters<typeof startGroup>[1] = {},
): Promise<TestGroup & { servers: TestOrigin[] }> {
  const servers = await Promise.all(behaviours.map((behaviour) => startOrigin(behaviour)))
  for (const server of servers) closing.push(server.stop)
  const group = startGroup(
    servers.map(({ url }) => url),
    options,
  )
  closing.push(group.close)
  return { ...group, servers }
}

interface Serving {
  length?: number
  etag?: string
  body?: Buffer
  /** Byte of the whole at which the connection ends; of the request with this number, the last for all that follow. */
  breaks?: (number | undefined)[]
  /** Changes the head of a 206. */
  head?: (head: Record<string, string | number>) => void
  ranges?: boolean
  chunk?: number
}

/** An origin of one object that knows ranges, and breaks where it is told to. */
function serve(serving: Serving = {}): Behaviour {
  let count = 0
  return (request, response) => {
    const { length = LENGTH, etag = '"e"', breaks = [], ranges = true, chunk = LENGTH } = serving
    const body = serving.body ?? bytesOf('/x', length)
    const breakAt = breaks[Math.min(count++, breaks.length - 1)]
    const start = ranges ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0
    const part = ranges && request.headers.range !== undefined
    const head: Record<string, string | number> = { 'content-length': length - start, ...(etag !== '' && { etag }) }
    if (part) head['content-range'] = `bytes ${start}-${length - 1}/${length}`
    if (part) serving.head?.(head)
    response.writeHead(part ? 206 : 200, head)
    void send(response, body.subarray(start, breakAt), chunk).then(() => (breakAt === undefined ? response.end() : response.destroy()))
  }
}

async function send(response: ServerResponse, bytes: Buffer, chunk: number): Promise<void> {
  for (let at = 0; at < bytes.length; at += chunk) {
    await new Promise((resolve) => response.write(bytes.subarray(at, at + chunk), resolve))
  }
}

const flipped = (at: number) => {
  const body = Buffer.from(bytesOf('/x', LENGTH))
  body[at]! ^= 1
  return body
}
const ranges = (server: TestOrigin) => server.headers.map((headers: IncomingMessage['headers']) => headers.range)

describe('a body that breaks', () => {
  it.each<[string, Serving, string]>([
    ['other bytes in the 64 KiB before the break', { body: flipped(200_000 - OVERLAP) }, 'mismatch'],
    ['another last byte before the break', { body: flipped(199_999) }, 'mismatch'],
    ['another ETag', { etag: '"f"' }, 'mismatch'],
    ['no ETag', { etag: '' }, 'mismatch'],
    ['another length', { length: LENGTH + 1 }, 'mismatch'],
    ['a part that begins elsewhere', { head: (head) => (head['content-range'] = `bytes 1-${LENGTH - 1}/${LENGTH}`) }, 'mismatch'],
    ['a part that ends early', { head: (head) => (head['content-range'] = `bytes ${200_000 - OVERLAP}-299998/${LENGTH}`) }, 'mismatch'],
    ['a total that differs', { head: (head) => (head['content-range'] = `bytes ${200_000 - OVERLAP}-299999/${LENGTH + 5}`) }, 'mismatch'],
    ['a part without Content-Range', { head: (head) => delete head['content-range'] }, 'mismatch'],
    ['another coding', { head: (head) => (head['content-encoding'] = 'gzip') }, 'mismatch'],
    ['the whole with other bytes', { ranges: false, body: flipped(150_000) }, 'mismatch'],
    ['a break of its own while it is compared', { breaks: [150_000] }, 'broken'],
  ])('is not mended by an origin with %s; it stays broken', async (_what, serving, kind) => {
    const { origins, told, servers } = await start([serve({ breaks: [200_000] }), serve(serving)])
    await expect(readContinued(origins, ['o1', 'o2'], get('/x'))).rejects.toMatchObject({ code: 'origin-unreachable' })
    expect(ranges(servers[1]!)).toEqual([`bytes=${200_000 - OVERLAP}-`])
    expect(told.continued).toEqual(kind === 'mismatch' ? ['mismatch', 'given-up'] : ['given-up'])
  })

  it.each([
    ['too long', Buffer.from('more')],
    ['too short', -100],
  ] as const)('is not mended by a part in chunks that is %s, not by a byte beyond what is right', async (_what, wrong) => {
    const chunked: Behaviour = (_request, response) => {
      const rest = bytesOf('/x', LENGTH).subarray(200_000 - OVERLAP)
      response.writeHead(206, { etag: '"e"', 'content-range': `bytes ${200_000 - OVERLAP}-${LENGTH - 1}/${LENGTH}` })
      response.end(typeof wrong === 'number' ? rest.subarray(0, wrong) : Buffer.concat([rest, wrong]))
    }
    const { origins, told } = await start([serve({ breaks: [200_000] }), chunked, serve()])
    const body = await readContinued(origins, ['o1', 'o2', 'o3'], get('/x'))
    expect([body.equals(bytesOf('/x', LENGTH)), told.continued]).toEqual([true, ['continued', 'continued']])
  })

  it.each<[string, Serving]>([
    ['has no ETag', { etag: '' }],
    ['has a weak ETag', { etag: 'W/"e"' }],
  ])('stays broken when it %s, also where the next origin is the same', async (_what, serving) => {
    const { origins, servers } = await start([serve({ ...serving, breaks: [200_000] }), serve(serving)])
    await expect(readContinued(origins, ['o1', 'o2'], get('/x'))).rejects.toMatchObject({ code: 'origin-unreachable' })
    expect(servers[1]!.requests).toEqual([])
  })

  it('stays broken without a length', async () => {
    const chunked: Behaviour = (_request, response) => {
      response.writeHead(200, { etag: '"e"' })
      response.write(bytesOf('/x', 1000), () => response.destroy())
    }
    const { origins, servers } = await start([chunked, serve()])
    await expect(readContinued(origins, ['o1', 'o2'], get('/x'))).rejects.toMatchObject({ code: 'origin-unreachable' })
    expect(servers[1]!.requests).toEqual([])
  })

  it('stays broken after three continuations', async () => {
    const breaks = [50_000, 100_000, 150_000, 200_000, 250_000].map((at) => [at])
    const { origins, told } = await start(breaks.map((at) => serve({ breaks: at })))
    await expect(readContinued(origins, ['o1', 'o2', 'o3', 'o4', 'o5'], get('/x'))).rejects.toMatchObject({ code: 'origin-unreachable' })
    expect(told.continued).toEqual(['continued', 'continued', 'continued', 'given-up'])
  })

  it('stays broken when no retry is left, and counts that', async () => {
    const options = { fetch: { retryBudget: { ratio: 0, minPerSecond: 0 } } }
    const { origins, told } = await start([serve({ breaks: [200_000] }), serve()], options)
    await expect(readContinued(origins, ['o1', 'o2'], get('/x'))).rejects.toMatchObject({ code: 'origin-unreachable' })
    expect([told.spent, told.continued]).toEqual([1, ['given-up']])
  })

  it('stays broken when its only origin breaks it twice', async () => {
    const { origins, told, servers } = await start([serve({ breaks: [200_000, 250_000] })])
    await expect(readContinued(origins, ['o1'], get('/x'))).rejects.toMatchObject({ code: 'origin-unreachable' })
    expect([servers[0]!.requests.length, told.continued]).toEqual([2, ['continued', 'given-up']])
  })

  it('counts against its origin', async () => {
    const { origins, told } = await start([serve({ breaks: [200_000] }), serve()], { health: { failures: 1 } })
    await readContinued(origins, ['o1', 'o2'], get('/x'))
    expect(told.health).toEqual(['o1 down'])
  })

  it.each<[string, number, Serving]>([
    ['a part', 200_000, {}],
    ['a part, early in the body', 1000, {}],
    ['a part of the last byte', LENGTH - 1, {}],
    ['the whole, of which the front is skipped', 200_000, { ranges: false }],
  ])('goes on with %s from the next origin', async (_what, at, serving) => {
    const { origins, told, servers } = await start([serve({ breaks: [at] }), serve({ ...serving, chunk: 7777 })])
    const body = await readContinued(origins, ['o1', 'o2'], get('/x'))
    expect(body.equals(bytesOf('/x', LENGTH))).toBe(true)
    expect([told.continued, ranges(servers[1]!)]).toEqual([['continued'], [`bytes=${Math.max(0, at - OVERLAP)}-`]])
  })

  it('goes on at its own origin when there is no other: the connection broke, not the origin', async () => {
    const { origins } = await start([serve({ breaks: [200_000, undefined] })])
    expect((await readContinued(origins, ['o1'], get('/x'))).equals(bytesOf('/x', LENGTH))).toBe(true)
  })

  it('goes on beyond the route when the route has nobody who can', async () => {
    const down: Behaviour = (_request, response) => response.writeHead(503).end()
    const { origins, told } = await start([serve({ breaks: [100_000] }), down, serve({ etag: '"f"' }), serve()], { random: () => 0 })
    expect((await readContinued(origins, ['o1', 'o2'], get('/x'))).equals(bytesOf('/x', LENGTH))).toBe(true)
    expect(told.attempts.map(({ origin, outcome }) => `${origin} ${outcome}`)).toEqual(['o1 ok', 'o2 server-error', 'o3 ok', 'o4 ok'])
    expect(told.continued).toEqual(['mismatch', 'continued'])
  })

  it('of a generic path never goes on at an origin of another path, with what its client said for its own', async () => {
    const { origins, servers, told } = await start([serve({ breaks: [100_000, 150_000] }), serve()])
    const headers: [string, string][] = [['cookie', 'session=1']]
    const broken = readContinued(origins, ['o1'], get('/x', { mode: 'generic', headers }))
    await expect(broken).rejects.toMatchObject({ code: 'origin-unreachable' })
    expect([servers[0]!.requests.length, servers[1]!.requests, told.continued]).toEqual([2, [], ['continued', 'given-up']])
  })

  it('is asked for without the conditions of the first request, which would be answered 304 now', async () => {
    const { origins, servers } = await start([serve({ breaks: [100_000] }), serve()])
    await readContinued(
      origins,
      ['o1', 'o2'],
      get('/x', {
        mode: 'generic',
        headers: [
          ['if-none-match', '"old"'],
          ['accept', 'a/b'],
        ],
      }),
    )
    expect(servers[1]!.headers[0]).toMatchObject({ accept: 'a/b' })
    expect(servers[1]!.headers[0]).not.toHaveProperty('if-none-match')
  })

  it('gives exactly the bytes of two equal origins, wherever they break and however they cut their chunks', async () => {
    const length = 200_000
    const body = bytesOf('/x', length)
    const at = fc.integer({ min: 1, max: length - 1 })
    const chunk = fc.integer({ min: 500, max: length })
    const breaks = fc.uniqueArray(at, { minLength: 1, maxLength: 3 }).map((points) => points.sort((a, b) => a - b))
    await fc.assert(
      fc.asyncProperty(breaks, chunk, chunk, async (points, chunk1, chunk2) => {
        // They take turns: o1 breaks at the first and third point, o2 at the second.
        const o1 = serve({ length, chunk: chunk1, breaks: [points[0], points[2]] })
        const o2 = serve({ length, chunk: chunk2, breaks: [points[1], undefined] })
        const { origins, close, servers } = await start([o1, o2])
        try {
          expect((await readContinued(origins, ['o1', 'o2'], get('/x'))).equals(body)).toBe(true)
        } finally {
          await close()
          await Promise.all(servers.map((server) => server.stop()))
        }
      }),
      { numRuns: 40 },
    )
  })

  it('can be given up while it is read, which leaves nothing running', async () => {
    const { origins, servers, told } = await start([serve({ breaks: [200_000] }), serve()], {
      fetch: { connections: 1, queueTimeout: '5s' },
      health: { failures: 100 },
    })
    for (let round = 0; round < 5; round++) {
      const fetched = await origins.fetch(['o1', 'o2'], { ...get('/x'), wanted: is200 })
      if (!fetched.ok) throw new Error(outcomes(fetched))
      const chunks: Uint8Array[] = []
      const readBack = async (start: number, end: number) => Buffer.concat(chunks).subarray(start, end)
      let bytes = 0
      for await (const part of origins.continued(fetched.answer, ['o1', 'o2'], get('/x'), readBack)) {
        chunks.push(part)
        bytes += part.length
        if (bytes > 210_000) break
      }
      expect(bytes).toBeGreaterThan(210_000)
    }
    expect(told.attempts.every(({ outcome }) => outcome === 'ok')).toBe(true)
    expect(servers.map((server) => server.requests.length)).toEqual([5, 5])
  })
})
