import type { Socket } from 'node:net'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Answer, cacheFiles, segment, startTestEdge, type TestEdge, tempFolder } from './edge.js'
import { type Behaviour, startOrigin, type TestOrigin } from './origin.js'
import { type RawOrigin, startRawOrigin } from './raw-origin.js'

const PATH = segment(1)
const RIGHT = 'the right bytes, and no other'
const JUNK = 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil'
const WHOLE = `HTTP/1.1 200 OK\r\netag: "1"\r\ncontent-length: ${RIGHT.length}\r\n\r\n${RIGHT}`
const CHUNKED = 'HTTP/1.1 200 OK\r\netag: "1"\r\ntransfer-encoding: chunked\r\n\r\n'
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`

type Script = (socket: Socket) => void
const say =
  (text: string, then?: 'close'): Script =>
  (socket) =>
    then === 'close' ? socket.end(text) : socket.write(text)

/** Answers that cannot be told to be whole, RFC 9112 §6.3. */
const FRAMING: [string, Script][] = [
  ['two Content-Lengths', say(`HTTP/1.1 200 OK\r\ncontent-length: ${RIGHT.length}\r\ncontent-length: 4\r\n\r\n${RIGHT}`, 'close')],
  ['a list of Content-Lengths', say(`HTTP/1.1 200 OK\r\ncontent-length: ${RIGHT.length}, 4\r\n\r\n${RIGHT}`, 'close')],
  ['a Content-Length of no number', say(`HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n${RIGHT}`, 'close')],
  [
    'Content-Length beside chunked',
    say(`HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n${chunk(RIGHT)}0\r\n\r\n`, 'close'),
  ],
  ['a chunk size of no number', say(`${CHUNKED}zz\r\n${RIGHT}\r\n0\r\n\r\n`, 'close')],
  ['a field with a space before its colon', say(`HTTP/1.1 200 OK\r\ncontent-length : 4\r\n\r\n${RIGHT}`, 'close')],
  ['no HTTP at all', say(`${RIGHT}\r\n\r\n`, 'close')],
]
/** Those that are found out when a part of them may have been sent. */
const BREAKING: [string, Script][] = [
  ['a bad chunk behind a good one', say(`${CHUNKED}${chunk(RIGHT.slice(0, 8))}zz\r\n${RIGHT}`, 'close')],
  ['a chunk longer than its size', say(`${CHUNKED}8\r\n${RIGHT}\r\n0\r\n\r\n`, 'close')],
  ['a last chunk that never comes', say(`${CHUNKED}${chunk(RIGHT)}`, 'close')],
  ['fewer bytes than were told', say(WHOLE.slice(0, -5), 'close')],
]

describe('an origin whose body is wrong', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: RawOrigin
  let edge: TestEdge
  let script: Script
  const others: TestOrigin[] = []

  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startRawOrigin((socket) => script(socket))
    edge = await startTestEdge(folder.path, [o1], { fetch: { connections: 1, headersTimeout: '2s', bodyTimeout: '500ms' } })
  })
  afterEach(async () => {
    await edge.stop()
    await Promise.all([o1.stop(), ...others.splice(0).map((origin) => origin.stop())])
    await folder.remove()
  })
  /** With another origin behind the wrong one. */
  const withSecond = async (behaviour: Behaviour) => {
    const o2 = await startOrigin(behaviour)
    others.push(o2)
    await edge.stop()
    edge = await startTestEdge(folder.path, [o1, o2])
  }
  /** Undefined when the transfer was cut. */
  const ask = (route = 'o1', path = PATH): Promise<Answer | undefined> => edge.get(`/${route}${path}`).catch(() => undefined)
  const nothingStored = async () => {
    await edge.idle()
    expect(await cacheFiles(folder.path)).toMatchObject({ entries: [], tmp: [] })
  }
  const nextIsRight = async () => {
    script = say(WHOLE)
    const next = await ask()
    expect([next?.status, next?.headers['x-cache'], next?.body.toString()]).toEqual([200, 'miss', RIGHT])
    await edge.idle()
    const hit = await ask()
    expect([hit?.headers['x-cache'], hit?.body.toString()]).toEqual(['hit', RIGHT])
  }

  it.each(FRAMING)('with %s is answered with 502; nothing is stored, and the next request is right', async (_what, wrong) => {
    script = wrong
    for (const answer of await Promise.all([ask(), ask(), ask()])) expect(answer?.status).toBe(502)
    await nothingStored()
    await nextIsRight()
  })

  it.each(BREAKING)(
    'with %s ends as 502 or broken, never as whole; nothing is stored, and the next request is right',
    async (_what, wrong) => {
      script = wrong
      for (const answer of await Promise.all([ask(), ask(), ask()])) expect([undefined, 502]).toContain(answer?.status)
      await nothingStored()
      await nextIsRight()
    },
  )

  it.each([...FRAMING, ...BREAKING])('with %s is passed over, where another has the right bytes', async (_what, wrong) => {
    await withSecond((_request, response) => void response.writeHead(200, { etag: '"1"', 'content-length': RIGHT.length }).end(RIGHT))
    script = wrong
    const answer = await ask('o1.o2')
    // What has begun as chunked has no length by which another origin's could be told to be the same.
    if (answer === undefined) await nothingStored()
    else expect([answer.status, answer.body.toString()]).toEqual([200, RIGHT])
    const next = await ask('o1.o2')
    if (next !== undefined) expect([next.status, next.body.toString()]).toEqual([200, RIGHT])
  })

  it.each([
    ['in one write', say(`${WHOLE}${JUNK}`)],
    [
      'in two writes',
      (socket: Socket) => {
        socket.write(WHOLE)
        setImmediate(() => socket.write(JUNK))
      },
    ],
  ])('and goes on behind its end (%s), is believed to its end: the rest is nobody’s answer', async (_what, wrong) => {
    script = (socket) => {
      script = (next) => next.write(WHOLE)
      wrong(socket)
    }
    // One connection, for which the others wait.
    const answers = await Promise.all([ask(), ask('o1', segment(2)), ask('o1', segment(3))])
    for (const answer of answers) expect([answer?.status, answer?.body.toString()]).toEqual([200, RIGHT])
    await edge.idle()
    for (const path of [1, 2, 3].map(segment)) {
      const hit = await ask('o1', path)
      expect([hit?.headers['x-cache'], hit?.body.toString()]).toEqual(['hit', RIGHT])
    }
  })

  it('that redirects, and goes on with junk, is answered with 502, and the junk is nobody’s answer', async () => {
    script = (socket) => {
      script = (next) => next.write(WHOLE)
      socket.write(`HTTP/1.1 302 Found\r\nlocation: http://elsewhere.example/\r\ncontent-length: 4\r\n\r\nevil${JUNK}`)
    }
    const answers = await Promise.all([ask(), ask('o1', segment(2))])
    // Whichever came first.
    expect(answers.map((answer) => answer?.status).sort()).toEqual([200, 502])
    expect(answers.find((answer) => answer?.status === 200)?.body.toString()).toBe(RIGHT)
    await edge.idle()
    expect((await cacheFiles(folder.path)).entries.length).toBe(1)
    for (const path of [1, 2].map(segment)) expect((await ask('o1', path))?.body.toString()).toBe(RIGHT)
  })

  it('that only the end of the connection ends is passed on and never stored: it may be torn', async () => {
    script = say(`HTTP/1.0 200 OK\r\ncontent-type: video/mp4\r\n\r\n${RIGHT}`, 'close')
    for (let i = 0; i < 2; i++) {
      const answer = await ask()
      expect([answer?.status, answer?.headers['x-cache'], answer?.body.toString()]).toEqual([200, 'bypass', RIGHT])
    }
    await nothingStored()
  })

  it('that sends an unasked 206, a 204 or a 304 is answered with 502', async () => {
    const heads = [
      `HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-3/9\r\ncontent-length: 4\r\n\r\nevil`,
      'HTTP/1.1 204 No Content\r\n\r\n',
      'HTTP/1.1 304 Not Modified\r\netag: "1"\r\n\r\n',
    ]
    for (const head of heads) {
      script = say(head)
      expect((await ask())?.status).toBe(502)
    }
    await nothingStored()
    await nextIsRight()
  })

  it('that gives hints before its answer (102, 103) is heard to the end', async () => {
    script = say(`HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${WHOLE}`)
    const answer = await ask()
    expect([answer?.status, answer?.headers.link, answer?.body.toString()]).toEqual([200, undefined, RIGHT])
    await until('it to be stored', async () => (await ask())?.headers['x-cache'] === 'hit')
  })
})
