import { once } from 'node:events'
import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { freePort } from '@millrace/common/testing/ports'
import { until } from '@millrace/common/testing/until'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { certify } from './certificates.js'
import { segment, tempFolder } from './edge.js'
import { serveBytes, startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'

/** The server cuts what is unfinished after about 10 s. */
const CUT_MS = 20_000
const INNER = 'GET /app/inner HTTP/1.1\r\nHost: e\r\n\r\n'

interface Said {
  /** Status of each answer, in order. */
  statuses: number[]
  closed: boolean
}

describe('an edge given bytes that are no good HTTP', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: EdgeProcess
  let ports: Record<'plain' | 'tls' | 'redirect', number>
  let pids: number[]
  /** Requests that reached the origin to their end: `GET /path`. */
  let whole: string[]

  beforeAll(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    const [tls, redirect] = [await freePort(), await freePort()]
    const pair = await certify(folder.path, 'e.test')
    edge = await EdgeProcess.start(folder.path, [o1], {
      workers: 1,
      paths: [{ prefix: '/app', mode: 'generic', origin: 'o1' }],
      tls: { listen: `127.0.0.1:${tls}`, ...pair, redirectFrom: `127.0.0.1:${redirect}` },
    })
    ports = { plain: edge.port, tls, redirect }
    pids = edge.pids()
  })
  afterAll(async () => {
    await edge.end()
    await o1.stop()
    await folder.remove()
  })
  beforeEach(() => {
    whole = []
    o1.requests.length = 0
    const bytes = serveBytes(1000, { 'cache-control': 'max-age=600' })
    o1.behave((request, response) => {
      request.on('end', () => {
        whole.push(`${request.method} ${request.url}`)
        bytes(request, response)
      })
      request.on('error', () => undefined)
      request.resume()
    })
  })
  afterEach(async () => {
    expect(edge.pids()).toEqual(pids)
    for (const path of ['/app/good', `/o1${segment(1)}`]) expect((await edge.get(path)).status).toBe(200)
  })

  const open = async (port: number): Promise<Socket> => {
    const secure = port === ports.tls
    const socket = secure ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }) : connectPlain({ port, host: '127.0.0.1' })
    await once(socket, secure ? 'secureConnect' : 'connect')
    socket.on('error', () => undefined)
    return socket
  }
  /** Says this, and listens until the edge closes, or until it has answered so many times. */
  const speak = async (bytes: string | Uint8Array, options: { port?: number; fin?: boolean; answers?: number } = {}): Promise<Said> => {
    const socket = await open(options.port ?? ports.plain)
    const statuses = () => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
    let text = ''
    let closed = false
    try {
      socket.on('data', (data) => {
        text += data.toString('latin1')
      })
      socket.on('close', () => {
        closed = true
      })
      if (options.fin) socket.end(bytes)
      else socket.write(bytes)
      await until('the close', () => closed || statuses().length === options.answers, CUT_MS)
      return { statuses: statuses(), closed }
    } finally {
      socket.destroy()
    }
  }
  const ask = (method: string, path: string, fields: string, rest = '') => `${method} ${path} HTTP/1.1\r\nHost: e\r\n${fields}\r\n${rest}`
  const innerSeen = () => o1.requests.filter((path) => path === '/app/inner')

  const DOUBTFUL: [string, string, string][] = [
    ['a length and chunks', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${INNER}`],
    ['chunks and a length', 'Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', `0\r\n\r\n${INNER}`],
    ['two lengths', `Content-Length: 0\r\nContent-Length: ${INNER.length}\r\n`, INNER],
    ['two equal lengths', 'Content-Length: 0\r\nContent-Length: 0\r\n', INNER],
    ['a list of lengths', 'Content-Length: 0, 0\r\n', INNER],
    ['a length with a sign', 'Content-Length: +0\r\n', INNER],
    ['a length beyond all measure', 'Content-Length: 99999999999999999999\r\n', INNER],
    ['a coding like chunked', 'Transfer-Encoding: xchunked\r\n', INNER],
    ['two codings', 'Transfer-Encoding: gzip, chunked\r\n', `0\r\n\r\n${INNER}`],
    ['two hosts', 'Host: other\r\n', INNER],
  ]

  describe.each(['plain', 'tls', 'redirect'] as const)('at the %s listener', (listener) => {
    it.each(DOUBTFUL)('closes after %s, and runs nothing that follows', async (_what, fields, rest) => {
      for (const method of ['GET', 'HEAD', 'POST', 'DELETE']) {
        for (const path of ['/app/outer', `/o1${segment(2)}`]) {
          const { statuses, closed } = await speak(ask(method, path, fields, rest), { port: ports[listener] })
          expect([method, path, closed]).toEqual([method, path, true])
          // Bytes behind a request that is answered a turn later close the connection before the answer is out.
          expect(statuses.length === 0 || (statuses.length === 1 && statuses[0] === 400)).toBe(true)
        }
      }
      expect(o1.requests).toEqual([])
    })

    it.each([
      ['a size that is none', `zz\r\n${INNER}`],
      ['a negative size', `-1\r\n${INNER}`],
      ['a size beyond all measure', `fffffffffffffffffff\r\n${INNER}`],
    ])('closes in a chunked body with %s, and runs nothing that follows', async (_what, rest) => {
      const { statuses, closed } = await speak(ask('POST', '/app/outer', 'Transfer-Encoding: chunked\r\n', rest), { port: ports[listener] })
      expect([closed, statuses.length <= 1 && statuses.every((status) => status >= 400)]).toEqual([true, true])
      expect([innerSeen(), whole]).toEqual([[], []])
    })

    it('runs nothing that follows a chunk of more data than its size', async () => {
      const rest = `4\r\nabcdX\r\n0\r\n\r\n${INNER}`
      await speak(ask('POST', '/app/outer', 'Transfer-Encoding: chunked\r\n', rest), { port: ports[listener] })
      expect(innerSeen()).toEqual([])
    })

    it('gives up a request whose client leaves in the middle of its body', async () => {
      for (const [fields, rest] of [
        ['Content-Length: 1000\r\n', 'abcd'],
        ['Transfer-Encoding: chunked\r\n', '10\r\nabcd'],
      ]) {
        const { statuses } = await speak(ask('POST', '/app/outer', fields!, rest), { port: ports[listener], fin: true })
        expect(statuses.filter((status) => status < 400)).toEqual([])
      }
      await until('no request', async () => (await edge.metric('millrace_edge_running_requests')) === 0)
      expect(whole).toEqual([])
    })
  })

  it.each<[string, string, string, string]>([
    ['a path out of its prefix', 'POST', '/app/../x', ''],
    ['an expectation that nobody knows', 'PUT', '/app/outer', 'Expect: 200-ok\r\n'],
    ['a method that is not served', 'TRACE', '/app/outer', ''],
    ['a method that media have not', 'POST', `/o1${segment(2)}`, ''],
  ])('refuses a body with %s once, closes, and runs no byte of it', async (_what, method, path, more) => {
    for (const [fields, rest] of [
      [`Content-Length: ${INNER.length}\r\n`, INNER],
      [`Content-Length: ${INNER.length + 10}\r\n`, INNER],
      ['Transfer-Encoding: chunked\r\n', `${INNER.length.toString(16)}\r\n${INNER}\r\n0\r\n\r\n`],
      ['Transfer-Encoding: chunked\r\n', `zz\r\n${INNER}`],
    ]) {
      const began = performance.now()
      const { statuses, closed } = await speak(ask(method, path, `${more}${fields}`, rest))
      expect([closed, statuses.length <= 1 && statuses.every((status) => status >= 400)]).toEqual([true, true])
      expect(performance.now() - began).toBeLessThan(5000)
    }
    expect(o1.requests).toEqual([])
  })

  it('hands the body of a GET on as a body, not as a request', async () => {
    const bodies: string[] = []
    o1.behave(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      bodies.push(body)
      response.end('ok')
    })
    expect(await speak(ask('GET', '/app/outer', `Content-Length: ${INNER.length}\r\n`, INNER), { answers: 1 })).toMatchObject({
      statuses: [200],
    })
    expect([o1.requests, bodies]).toEqual([['/app/outer'], [INNER]])
    o1.behave(serveBytes(1000))
  })

  it('answers requests that come in one piece each with its own, or closes', async () => {
    const one = ask('GET', `/o1${segment(1)}`, '')
    await edge.get(`/o1${segment(1)}`)
    const { statuses } = await speak(one.repeat(3), { answers: 3 })
    expect(statuses.every((status) => status === 200)).toBe(true)
    const { statuses: behind } = await speak(`${ask('GET', '/app/slow', '')}${INNER}`, { answers: 2 })
    expect(behind.length).toBeLessThanOrEqual(1)
    // It may be on its way to the origin although its client's connection is closed.
    await until('the request to be over', async () => (await edge.metric('millrace_edge_running_requests')) === 0)
  })

  it('answers with an error or closes, soon or at the cut, and asks no origin', async () => {
    const strange: Record<string, string> = {
      'HTTP/1.0': 'GET /app/q HTTP/1.0\r\nHost: e\r\n\r\n',
      'HTTP/1.2': 'GET /app/q HTTP/1.2\r\nHost: e\r\n\r\n',
      'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'absolute-form': 'GET http://e/app/q HTTP/1.1\r\nHost: e\r\n\r\n',
      'asterisk-form': 'OPTIONS * HTTP/1.1\r\nHost: e\r\n\r\n',
      'authority-form': 'CONNECT e:80 HTTP/1.1\r\nHost: e\r\n\r\n',
      'a method in lower case': 'get /app/q HTTP/1.1\r\nHost: e\r\n\r\n',
      'no Host': 'GET /app/q HTTP/1.1\r\n\r\n',
      'more than 48 fields': ask('GET', '/app/q', 'A: b\r\n'.repeat(48)),
      'an unfinished head': 'GET /app/q HTTP/1.1\r\nHost: e\r\nX: ',
      'CR in a value': ask('GET', '/app/q', 'X: a\rb\r\n'),
      'LF in a value': ask('GET', '/app/q', 'X: a\nTransfer-Encoding: chunked\r\n'),
      'NUL in a value': ask('GET', '/app/q', 'X: a\0b\r\n'),
      'DEL in a value': ask('GET', '/app/q', 'X: a\x7fb\r\n'),
      'NUL in a name': ask('GET', '/app/q', 'X\0: b\r\n'),
      'NUL in a path': ask('GET', '/app/q\0', ''),
      'a blank before the colon': ask('POST', '/app/q', 'Transfer-Encoding : chunked\r\n', `0\r\n\r\n${INNER}`),
      'a folded line': ask('POST', '/app/q', 'Transfer-Encoding:\r\n chunked\r\n', `0\r\n\r\n${INNER}`),
      'lines that end in LF alone': 'GET /app/q HTTP/1.1\nHost: e\n\n',
      'a TLS hello': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    }
    const listeners = ['plain', 'tls', 'redirect'] as const
    const said = await Promise.all(
      Object.entries(strange).flatMap(([what, bytes]) =>
        listeners.map(async (listener) => ({ what, listener, ...(await speak(bytes, { port: ports[listener] })) })),
      ),
    )
    for (const one of said) {
      expect(one).toMatchObject({ closed: true })
      // The redirect listener asks nobody, and sends whoever can be understood to HTTPS.
      const least = one.listener === 'redirect' ? 300 : 400
      expect([one, one.statuses.length <= 1 && one.statuses.every((status) => status >= least)]).toEqual([one, true])
    }
    expect(o1.requests).toEqual([])
  })

  it('cuts heads and bodies that come by drops, and chunk extensions', async () => {
    const drip = async (begin: string) => {
      const socket = await open(ports.plain)
      const closed = once(socket, 'close')
      socket.resume()
      socket.write(begin)
      const timer = setInterval(() => socket.write('a'), 500)
      try {
        await Promise.race([closed, until('the cut', () => socket.closed, CUT_MS)])
      } finally {
        clearInterval(timer)
        socket.destroy()
      }
    }
    await Promise.all([
      drip('GET /app/q HTTP/1.1\r\nHost: e\r\nX: '),
      drip(ask('POST', '/app/q', 'Content-Length: 1000\r\n')),
      drip(ask('POST', '/app/q', 'Transfer-Encoding: chunked\r\n', '4;a=b\r\nabcd\r\n0\r\n\r\n')),
    ])
    expect(whole).toEqual([])
  })

  describe('with a PROXY v2 head that nobody asked for', () => {
    const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
    const IPV4 = Buffer.from([203, 0, 113, 5, 203, 0, 113, 6, 0x30, 0x39, 0, 80])
    const headed = (command: number, family: number, length: number, addresses: Buffer, request = ask('GET', '/app/q', '')) =>
      Buffer.concat([SIGNATURE, Buffer.from([command, family, length >> 8, length & 0xff]), addresses, Buffer.from(request, 'latin1')])

    it('closes at one that is cut short, of another version, or longer than any, and asks no origin', async () => {
      const bad = [
        headed(0x21, 0x11, 12, IPV4.subarray(0, 4), ''),
        headed(0x21, 0x11, 12, Buffer.alloc(0), ''),
        SIGNATURE.subarray(0, 7),
        headed(0x11, 0x11, 12, IPV4),
        headed(0x31, 0x11, 12, IPV4),
        headed(0x21, 0x11, 65_535, IPV4),
        headed(0x21, 0x31, 216, Buffer.alloc(216)),
      ]
      for (const { statuses, closed } of await Promise.all(bad.map((bytes) => speak(bytes)))) {
        expect([closed, statuses.every((status) => status >= 400)]).toEqual([true, true])
      }
      expect(o1.requests).toEqual([])
    })

    it.each<[string, Buffer]>([
      ['LOCAL', headed(0x20, 0, 0, Buffer.alloc(0))],
      ['of no known family', headed(0x21, 0, 0, Buffer.alloc(0))],
      ['of no known family, with addresses', headed(0x21, 0, 12, IPV4)],
      ['with an address too short for its family', headed(0x21, 0x11, 4, IPV4.subarray(0, 4))],
      ['with more behind its addresses', headed(0x21, 0x11, 19, Buffer.concat([IPV4, Buffer.from([1, 0, 4, 1, 2, 3, 4])]))],
    ])('serves what follows one that is %s', async (_what, bytes) => {
      expect(await speak(bytes, { answers: 1 })).toMatchObject({ statuses: [200] })
    })
  })

  it('lives through mutated requests, and asks its origin for nothing that was not asked', async () => {
    const seeds = [
      ask('GET', '/app/outer', 'Accept: */*\r\n'),
      ask('GET', `/o1${segment(1)}`, 'Range: bytes=0-9,20-29\r\nIf-Range: "a"\r\n'),
      ask('POST', '/app/outer', 'Content-Length: 5\r\n', 'abcde'),
      ask('POST', '/app/outer', 'Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n', '5\r\nabcde\r\n0\r\n\r\n'),
      `\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c${'\x01'.repeat(12)}${ask('HEAD', '/app/outer', 'Connection: close\r\n')}`,
    ]
    const pieces = [
      '\r\n',
      '\r',
      '\n',
      '\0',
      ' ',
      ':',
      '\t',
      ';',
      '0',
      '-1',
      '\xff',
      'chunked',
      'Transfer-Encoding: chunked\r\n',
      'Content-Length: 9\r\n',
    ]
    const mutation = fc.record({
      at: fc.nat(400),
      drop: fc.nat(12),
      put: fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 4 })),
    })
    const mutated = fc.record({ seed: fc.constantFrom(...seeds), mutations: fc.array(mutation, { minLength: 1, maxLength: 6 }) })
    await fc.assert(
      fc.asyncProperty(mutated, async ({ seed, mutations }) => {
        let text = seed
        for (const { at, drop, put } of mutations) text = text.slice(0, at % text.length) + put + text.slice((at % text.length) + drop)
        const { statuses } = await speak(Buffer.from(text, 'latin1'), { fin: true })
        expect(statuses.filter((status) => status < 100 || status > 599 || status === 500)).toEqual([])
      }),
      { numRuns: 400 },
    )
    expect(edge.pids()).toEqual(pids)
    expect(innerSeen()).toEqual([])
  })
})
