import { getEventListeners } from 'node:events'
import { createServer } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { until } from '@millrace/common/testing/until'
import { afterEach, describe, expect, it } from 'vitest'
import { breakAfter, bytesOf, serveBytes, serveStatus, startOrigin, type TestOrigin } from './origin.js'
import { get, is200, outcomes, read, startGroup, type TestGroup } from './origin-group.js'
import { type RawOrigin, respond, startRawOrigin } from './raw-origin.js'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function origin(...from: Parameters<typeof startOrigin>): Promise<TestOrigin> {
  const started = await startOrigin(...from)
  closing.push(started.stop)
  return started
}

async function rawOrigin(...from: Parameters<typeof startRawOrigin>): Promise<RawOrigin> {
  const started = await startRawOrigin(...from)
  closing.push(started.stop)
  return started
}

function group(origins: readonly { url: string }[], options: Parameters<typeof startGroup>[1] = {}): TestGroup {
  const started = startGroup(
    origins.map(({ url }) => url),
    options,
  )
  closing.push(started.close)
  return started
}

describe('asking the next origin', () => {
  it.each<[string, string, (origin: TestOrigin) => unknown]>([
    ['is down', 'unreachable', (first) => first.stop()],
    ['answers 503', 'server-error', (first) => first.behave(serveStatus(503))],
    ['is silent', 'timeout', (first) => first.behave(() => undefined)],
    ['hangs up before its first byte', 'unreachable', (first) => first.behave(breakAfter(0))],
    ['sends a head and no byte', 'timeout', (first) => first.behave((_request, response) => response.writeHead(200).flushHeaders())],
    ['has no replica', 'missing', (first) => first.behave(serveStatus(404))],
    ['says 403', 'rejected', (first) => first.behave(serveStatus(403))],
  ])('when the first %s', async (_what, outcome, spoil) => {
    const [o1, o2] = [await origin(), await origin()]
    await spoil(o1)
    const { origins, told } = group([o1, o2], { fetch: { headersTimeout: '200ms' } })
    const fetched = await origins.fetch(['o1', 'o2'], { ...get('/x'), wanted: is200 })
    expect(outcomes(fetched)).toBe(`o1 ${outcome}, o2 ok`)
    expect(fetched.ok && (await read(fetched.answer.body)).equals(bytesOf('/x', 300_000))).toBe(true)
    expect(told.attempts.map((attempt) => attempt.outcome)).toEqual([outcome, 'ok'])
  })

  it('ends in time at a host that takes connections to nowhere, and where TLS is not answered', async () => {
    // Takes the connection and never a word of TLS.
    const silent = await rawOrigin(() => undefined)
    const { origins, told } = group([{ url: silent.url.replace('http:', 'https:') }], { fetch: { connectTimeout: '100ms' } })
    expect(outcomes(await origins.fetch(['o1'], { ...get('/x'), wanted: is200 }))).toBe('o1 timeout')
    expect(told.attempts[0]!.ms).toBeLessThan(1000)
  })

  it.each([
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde'],
    ['a negative length', 'HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\nabc'],
    ['a length that is no number', 'HTTP/1.1 200 OK\r\ncontent-length: 0x3\r\n\r\nabc'],
    ['a length and chunks', 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'],
    ['a head without end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(200_000)}`],
    ['an upgrade nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'],
    ['what is not HTTP', 'SSH-2.0-OpenSSH_9.6\r\n'],
    ['a chunk size that is none', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n'],
  ])('refuses an answer with %s', async (_what, answer) => {
    const odd = await rawOrigin((socket) => socket.write(answer))
    const { origins } = group([odd, await origin(serveBytes(10))], { fetch: { headersTimeout: '500ms' } })
    const fetched = await origins.fetch(['o1', 'o2'], { ...get('/x'), wanted: is200 })
    expect(outcomes(fetched)).toMatch(/^o1 (unreachable|timeout), o2 ok$/)
    if (fetched.ok) fetched.answer.discard()
  })

  it('throws what came before the break, then the break, from a body that ends early', async () => {
    const o1 = await origin(breakAfter(100_000))
    const { origins, told } = group([o1], { health: { failures: 1 } })
    const fetched = await origins.fetch(['o1'], { ...get('/x'), wanted: is200 })
    if (!fetched.ok) throw new Error('not answered')
    let bytes = 0
    await expect(
      (async () => {
        for await (const chunk of fetched.answer.body) bytes += chunk.length
      })(),
    ).rejects.toMatchObject({ code: 'origin-unreachable', source: 'origin' })
    expect(bytes).toBe(100_000)
    expect(told.health).toEqual(['o1 down'])
  })

  it('tells a body that falls silent as a timeout, but never a reader who takes long', async () => {
    const o1 = await origin((request, response) => {
      response.writeHead(200, { 'content-length': 2_000_000 })
      const body = bytesOf('/x', 2_000_000)
      response.write(request.url === '/silent' ? body.subarray(0, 1000) : body)
    })
    const { origins } = group([o1], { fetch: { bodyTimeout: '150ms' } })
    const silent = await origins.fetch(['o1'], { ...get('/silent'), wanted: is200 })
    await expect(silent.ok && read(silent.answer.body)).rejects.toMatchObject({ code: 'origin-timeout' })
    const slow = await origins.fetch(['o1'], { ...get('/slow'), wanted: is200 })
    if (!slow.ok) throw new Error('not answered')
    const startedAt = performance.now()
    // Held back for longer than the timeout; the event waited for is time itself.
    await until('twice the timeout to pass', () => performance.now() - startedAt > 400)
    expect((await read(slow.answer.body)).length).toBe(2_000_000)
  })

  it('goes beyond the route when asked to, each origin once, and not otherwise', async () => {
    const missing = [await origin(serveStatus(404)), await origin(serveStatus(404))]
    const o3 = await origin(serveStatus(500))
    const o4 = await origin()
    const { origins } = group([...missing, o3, o4], { random: () => 0 })
    const within = await origins.fetch(['o2', 'o1'], { ...get('/x'), wanted: is200 })
    expect([within.ok, outcomes(within)]).toEqual([false, 'o2 missing, o1 missing'])
    const beyond = await origins.fetch(['o2', 'o1'], { ...get('/x'), wanted: is200, beyondRoute: true })
    expect(outcomes(beyond)).toBe('o2 missing, o1 missing, o3 server-error, o4 ok')
    if (beyond.ok) beyond.answer.discard()
  })

  it('stops at once when the one who asked has gone, and blames nobody', async () => {
    const o1 = await origin(() => undefined)
    const o2 = await origin()
    const { origins, told } = group([o1, o2], { health: { failures: 1 } })
    const abort = new AbortController()
    const fetching = origins.fetch(['o1', 'o2'], { ...get('/x', { signal: abort.signal }), wanted: is200 })
    await until('o1 to be asked', () => o1.requests.length === 1)
    abort.abort()
    expect((await fetching).ok).toBe(false)
    expect([told.attempts, told.health, o2.requests.length]).toEqual([[], [], 0])
  })

  it('leaves nothing on a signal that outlives its requests, as that of all fills does', async () => {
    const o1 = await origin((request, response) => {
      if (request.url === '/ok') serveBytes(10)(request, response)
      else if (request.url === '/big') serveBytes(500_000)(request, response)
      else if (request.url === '/break') breakAfter(10)(request, response)
      else response.destroy()
    })
    const { signal } = new AbortController()
    const { origins } = group([o1], { fetch: { connections: 2, hedgeAfter: '1s' } })
    const one = async (path: string) => {
      const fetched = await origins.fetch(['o1'], { ...get(path, { signal }), wanted: is200 })
      if (fetched.ok && path === '/big') fetched.answer.discard()
      else if (fetched.ok) await read(fetched.answer.body).catch(() => undefined)
    }
    await Promise.all(['/ok', '/big', '/break', '/dead', '/ok', '/big', '/break', '/dead'].map(one))
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('ends a body that is being read when the one who asked goes', async () => {
    const o1 = await rawOrigin((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc'))
    const { origins, told } = group([o1], { health: { failures: 1 } })
    const abort = new AbortController()
    const fetched = await origins.fetch(['o1'], { ...get('/x', { signal: abort.signal }), wanted: is200 })
    const reading = fetched.ok ? read(fetched.answer.body) : Promise.resolve()
    const [socket] = o1.sockets
    abort.abort()
    await expect(reading).rejects.toMatchObject({ source: 'origin' })
    await until('the connection to be gone', () => socket!.destroyed)
    expect(told.health).toEqual([])
  })
})

describe('a connection that the origin closed while it was idle', () => {
  /** Closes kept connections instead of answering a second request on them. */
  const closesOnReuse = (reset: boolean) =>
    rawOrigin((socket, _head, before) => {
      if (before === 0) respond(socket, 'abc')
      else if (reset) socket.resetAndDestroy()
      else socket.end()
    })
  const twice = async (origins: TestGroup['origins'], method: string) => {
    const answers: boolean[] = []
    for (let count = 0; count < 2; count++) {
      const fetched = await origins.fetch(['o1'], { ...get('/x', { method, mode: 'generic' }), wanted: is200 })
      answers.push(fetched.ok)
      if (fetched.ok) await read(fetched.answer.body)
      // The connection is free again when undici has had its turn.
      await nextTurn()
    }
    return answers
  }

  it('fails a POST, which must not be sent twice', async () => {
    const o1 = await closesOnReuse(false)
    expect(await twice(group([o1], { fetch: { connections: 1 } }).origins, 'POST')).toEqual([true, false])
    expect(o1.requests.length).toBe(2)
  })

  it('fails a GET when the origin hangs up on a new connection, too: that is no idle close', async () => {
    const o1 = await rawOrigin((socket) => socket.end())
    const { origins } = group([o1])
    expect(outcomes(await origins.fetch(['o1'], { ...get('/x'), wanted: is200 }))).toBe('o1 unreachable')
    expect(o1.connections()).toBe(1)
  })

  it.each([false, true])('costs a GET nothing: it is sent again on a new one (reset: %s)', async (reset) => {
    const o1 = await closesOnReuse(reset)
    const { origins, told } = group([o1], { fetch: { connections: 1 }, health: { failures: 1 } })
    expect(await twice(origins, 'GET')).toEqual([true, true])
    expect([o1.requests.length, o1.connections(), told.health, told.attempts.map(({ outcome }) => outcome)]).toEqual([
      3,
      2,
      [],
      ['ok', 'ok'],
    ])
  })

  it('costs nothing under load either', async () => {
    let answered = 0
    const o1 = await rawOrigin((socket) => {
      // Each connection is closed with its third answer, without a word of it in the head.
      answered++
      respond(socket, 'abc')
      if (answered % 3 === 0) socket.end()
    })
    const { origins, told } = group([o1], { fetch: { connections: 8 } })
    const one = async () => {
      for (let count = 0; count < 50; count++) {
        const fetched = await origins.fetch(['o1'], { ...get('/x'), wanted: is200 })
        if (fetched.ok) await read(fetched.answer.body)
      }
    }
    await Promise.all(Array.from({ length: 8 }, one))
    expect(new Set(told.attempts.map(({ outcome }) => outcome))).toEqual(new Set(['ok']))
  })
})

describe('connections of fills', () => {
  it('are bounded; a fill that waits too long is no failure of the origin, and goes to the next', async () => {
    const o1 = await origin((_request, response) => response.writeHead(200, { 'content-length': 10 }).write('abc'))
    const o2 = await origin()
    const { origins, told } = group([o1, o2], { fetch: { connections: 2, queueTimeout: '100ms' }, health: { failures: 1 } })
    const held = await Promise.all([1, 2].map(() => origins.fetch(['o1'], { ...get('/x'), wanted: is200 })))
    const third = await origins.fetch(['o1', 'o2'], { ...get('/x'), wanted: is200 })
    expect(outcomes(third)).toBe('o1 busy, o2 ok')
    expect([o1.requests.length, told.health]).toEqual([2, []])
    const pass = await origins.fetch(['o1'], { ...get('/x', { purpose: 'pass' }), wanted: is200 })
    expect(pass.ok).toBe(true)
    for (const fetched of [...held, third, pass]) if (fetched.ok) fetched.answer.discard()
  })

  it('are free again after an answer was read, discarded, broken, or never came', async () => {
    const o1 = await origin((request, response) => {
      if (request.url === '/break') breakAfter(10)(request, response)
      else if (request.url === '/500') serveStatus(500)(request, response)
      else if (request.url !== '/silent') serveBytes(200_000)(request, response)
    })
    const { origins } = group([o1], { fetch: { connections: 1, headersTimeout: '100ms', queueTimeout: '5s' } })
    for (const path of ['/a', '/break', '/b', '/500', '/silent', '/c', '/d']) {
      const fetched = await origins.fetch(['o1'], { ...get(path), wanted: is200 })
      if (!fetched.ok) expect(outcomes(fetched)).not.toContain('busy')
      else if (path === '/c') fetched.answer.discard()
      else await read(fetched.answer.body).catch(() => undefined)
    }
    expect(o1.requests).toEqual(['/a', '/break', '/b', '/500', '/silent', '/c', '/d'])
  })
})

describe('what an origin is sent, and what comes back', () => {
  it('keeps the order and number of fields, Set-Cookie above all', async () => {
    const o1 = await rawOrigin((socket) =>
      respond(socket, 'abc', 'HTTP/1.1 200 OK', 'Set-Cookie: a=1\r\nX-One:  1 \r\nset-cookie: b=2\r\n'),
    )
    const { origins } = group([o1])
    const fetched = await origins.fetch(['o1'], { ...get('/x'), wanted: is200 })
    if (!fetched.ok) throw new Error('not answered')
    expect(fetched.answer.fields).toEqual([
      ['set-cookie', 'a=1'],
      ['x-one', '1'],
      ['set-cookie', 'b=2'],
      ['content-length', '3'],
    ])
    expect([fetched.answer.headers['set-cookie'], fetched.answer.length]).toEqual(['a=1, b=2', 3])
    fetched.answer.discard()
  })

  it('takes the answer after an interim one', async () => {
    const o1 = await rawOrigin((socket) => {
      socket.write('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n')
      respond(socket, 'abc', 'HTTP/1.1 200 OK', 'x-final: 1\r\n')
    })
    const fetched = await group([o1]).origins.fetch(['o1'], { ...get('/x'), wanted: () => true })
    expect(fetched.ok && [fetched.answer.status, fetched.answer.headers['x-final'], fetched.answer.headers.link]).toEqual([
      200,
      '1',
      undefined,
    ])
    if (fetched.ok) fetched.answer.discard()
  })

  it('sends Via, trace and identity in media mode; the origin is its own Host', async () => {
    const o1 = await origin(serveBytes(3))
    const trace = { requestId: 'r-1', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }
    const fetched = await group([o1]).origins.fetch(['o1'], { ...get('/x', { trace }), wanted: is200 })
    if (fetched.ok) fetched.answer.discard()
    expect(o1.headers[0]).toMatchObject({
      host: `127.0.0.1:${o1.port}`,
      via: '1.1 e1',
      'accept-encoding': 'identity',
      'x-request-id': 'r-1',
      traceparent: trace.traceparent,
    })
  })

  it('sends a body once: never again after its first byte was taken, but on to the next when it was not', async () => {
    const { url } = await closedPort()
    const bodies: string[] = []
    const o2 = await origin((request, response) => {
      request.on('data', (data: Buffer) => bodies.push(data.toString()))
      request.on('end', () => serveStatus(500)(request, response))
    })
    const { origins } = group([{ url }, o2, await origin()])
    async function* body() {
      yield Buffer.from('ab')
      yield Buffer.from('cd')
    }
    const request = get('/x', { method: 'PUT', mode: 'generic', purpose: 'pass', body: body(), headers: [['content-length', '4']] })
    const fetched = await origins.fetch(['o1', 'o2', 'o3'], { ...request, wanted: is200 })
    expect([outcomes(fetched), bodies.join('')]).toEqual(['o1 unreachable, o2 server-error', 'abcd'])
  })

  it('throws what the body of the request throws, and blames no origin', async () => {
    const o1 = await origin(() => undefined)
    const { origins, told } = group([o1], { health: { failures: 1 } })
    async function* body() {
      yield Buffer.from('ab')
      throw new Error('the client has gone')
    }
    const request = get('/x', { method: 'POST', mode: 'generic', purpose: 'pass', body: body() })
    await expect(origins.fetch(['o1'], { ...request, wanted: is200 })).rejects.toThrow('the client has gone')
    expect(told.health).toEqual([])
  })

  it('throws at a request that cannot be written as HTTP/1.1', async () => {
    const { origins, told } = group([await origin()])
    for (const request of [get('/x y'), get('/x', { headers: [['x', 'a\r\nb: c']] }), get('/x', { method: 'GE T' })]) {
      await expect(origins.fetch(['o1'], { ...request, wanted: is200 })).rejects.toMatchObject({ code: 'unsendable', status: 400 })
    }
    expect([told.attempts, told.health]).toEqual([[], []])
  })
})

/** Where nobody listens. */
async function closedPort(): Promise<{ url: string }> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return { url: `http://127.0.0.1:${port}` }
}
