import { once } from 'node:events'
import { connect } from 'node:net'
import { until } from '@millrace/common/testing/until'
import { beforeEach, describe, expect, it } from 'vitest'
import { type Answer, segment } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes } from './origin.js'
import { scene } from './scene.js'

const PATH = segment(1)
const BODY = bytesOf(PATH, BODY_LENGTH)
const MODIFIED = 'Sun, 19 Nov 2000 08:52:00 GMT'

/** Parts of a multipart/byteranges body, as [Content-Range, bytes]. */
function partsOf({ headers, body }: Answer): [string, Buffer][] {
  const boundary = /^multipart\/byteranges; boundary=([0-9a-f]{32})$/.exec(String(headers['content-type']))?.[1]
  if (boundary === undefined) throw new Error(`no boundary in ${headers['content-type']}`)
  const pieces = body.toString('latin1').split(`\r\n--${boundary}`)
  expect([pieces[0], pieces.at(-1)]).toEqual(['', '--\r\n'])
  return pieces.slice(1, -1).map((piece) => {
    const end = piece.indexOf('\r\n\r\n')
    const head = piece.slice(0, end)
    expect(head).toMatch(/\r\ncontent-type: video\/mp4/i)
    return [/content-range: (.*)/i.exec(head)![1]!, Buffer.from(piece.slice(end + 4), 'latin1')]
  })
}

/** How a stored body is answered from: asked for the first time, from its file, and often enough to be in RAM. */
const PHASES = ['miss', 'hit', 'hit', 'hit', 'hit'] as const

describe('ranges', () => {
  const at = scene()
  beforeEach(() => at.o1.behave(serveBytes(BODY_LENGTH, { 'last-modified': MODIFIED, 'cache-control': 'max-age=600' })))
  const each = async (headers: Record<string, string>, check: (answer: Answer) => void) => {
    for (const phase of PHASES) {
      const answer = await at.edge.get(`/o1${PATH}`, headers)
      expect(answer.headers['x-cache']).toBe(phase)
      check(answer)
      await at.edge.idle()
    }
    expect(at.o1.headers.map(({ range, 'if-range': ifRange }) => [range, ifRange])).toEqual([[undefined, undefined]])
  }

  it.each([`bytes=${BODY_LENGTH}-`, 'bytes=900000-900001', 'bytes=-0', `bytes=${BODY_LENGTH}-,400000-`])(
    'that cannot be satisfied (%s) are answered with 416 and the length, on a miss and on hits',
    async (range) => {
      await each({ range }, (answer) => {
        expect([answer.status, answer.headers['content-range'], answer.body.length]).toEqual([416, `bytes */${BODY_LENGTH}`, 0])
      })
    },
  )

  it.each([
    'bytes=5-2',
    'bytes=a-b',
    'lines=0-9',
    'bytes=',
    'bytes=0-0,5-2',
    `bytes=${Array.from({ length: 20 }, (_, i) => `${i * 900}-${i * 900}`)}`,
  ])('that are malformed, of another unit or too many (%s) are answered with the whole, on a miss and on hits', async (range) => {
    await each({ range }, (answer) => expect([answer.status, answer.body.equals(BODY)]).toEqual([200, true]))
  })

  it.each(['"other"', 'W/"weak"', 'Sun, 19 Nov 2000 08:52:01 GMT', 'nonsense'])(
    'under an If-Range that does not hold (%s) are answered with the whole, on a miss and on hits',
    async (ifRange) => {
      await each({ range: 'bytes=0-9', 'if-range': ifRange }, (answer) =>
        expect([answer.status, answer.body.equals(BODY)]).toEqual([200, true]),
      )
    },
  )

  it('under an If-Range that holds, by ETag or date, are answered in part, on a miss and on hits', async () => {
    await each({ range: 'bytes=0-9', 'if-range': MODIFIED }, (answer) => expect([answer.status, answer.body.length]).toEqual([206, 10]))
    const { etag } = (await at.edge.get(`/o1${PATH}`)).headers
    const part = await at.edge.get(`/o1${PATH}`, { range: 'bytes=0-9', 'if-range': String(etag) })
    expect([part.status, part.body.equals(BODY.subarray(0, 10))]).toEqual([206, true])
  })

  it('under an If-Range by the date of a change in the second of the answer are answered with the whole, a second later in part', async () => {
    // Both in the past, so that the edge's own clock has no say.
    const changed = Date.now() - 60_000
    const modified = new Date(changed).toUTCString()
    for (const [number, made, status] of [
      [1, changed, 200],
      [2, changed + 1000, 206],
    ] as const) {
      at.o1.behave(
        serveBytes(BODY_LENGTH, { 'last-modified': modified, date: new Date(made).toUTCString(), 'cache-control': 'max-age=600' }),
      )
      for (const phase of PHASES) {
        const answer = await at.edge.get(`/o1${segment(number)}`, { range: 'bytes=0-9', 'if-range': modified })
        expect([answer.headers['x-cache'], answer.status]).toEqual([phase, status])
        await at.edge.idle()
      }
    }
  })

  it('come after conditions: what the client has already is 304', async () => {
    await each({ range: 'bytes=0-9', 'if-modified-since': MODIFIED }, (answer) => expect(answer.status).toBe(304))
  })

  it.each<[string, number, number]>([
    ['bytes=0-0', 0, 1],
    ['bytes=262143-262144', 262_143, 262_145],
    ['bytes=299999-', 299_999, BODY_LENGTH],
    ['bytes=-400000', 0, BODY_LENGTH],
    ['bytes=-1', BODY_LENGTH - 1, BODY_LENGTH],
    ['BYTES=100-900000', 100, BODY_LENGTH],
    ['bytes=900000-,7-8', 7, 9],
    ['bytes=0-9,10-19', 0, 20],
  ])('of one part (%s) are answered with it, on a miss and on hits', async (range, start, end) => {
    await each({ range }, (answer) => {
      expect([answer.status, answer.headers['content-range'], answer.headers['content-length'], answer.headers['content-type']]).toEqual([
        206,
        `bytes ${start}-${end - 1}/${BODY_LENGTH}`,
        String(end - start),
        'video/mp4',
      ])
      expect(answer.body.equals(BODY.subarray(start, end))).toBe(true)
    })
  })

  it.each<[string, [number, number][]]>([
    [
      'bytes=0-1,1000-1001',
      [
        [0, 2],
        [1000, 1002],
      ],
    ],
    [
      'bytes=262000-263000,-5,0-99',
      [
        [262_000, 263_001],
        [BODY_LENGTH - 5, BODY_LENGTH],
        [0, 100],
      ],
    ],
    [
      'bytes=0-9, 500-509 ,, 900000-',
      [
        [0, 10],
        [500, 510],
      ],
    ],
  ])('of several parts (%s) are answered as multipart/byteranges, on a miss and on hits', async (range, expected) => {
    await each({ range }, (answer) => {
      expect([answer.status, answer.headers['content-range'], answer.headers['content-length']]).toEqual([
        206,
        undefined,
        String(answer.body.length),
      ])
      const parts = partsOf(answer)
      expect(parts.map(([contentRange]) => contentRange)).toEqual(
        expected.map(([start, end]) => `bytes ${start}-${end - 1}/${BODY_LENGTH}`),
      )
      for (const [index, [start, end]] of expected.entries()) expect(parts[index]![1].equals(BODY.subarray(start, end))).toBe(true)
    })
  })

  it('of several parts from RAM take no memory of their own while their clients read', async () => {
    const length = 16 << 20
    const sizes = { cache: { path: at.folder, size: '64MiB', maxObject: '32MiB' }, ram: { size: '64MiB', maxObject: '32MiB' } }
    await at.restart(sizes)
    at.o1.behave(serveBytes(length, { 'cache-control': 'max-age=600' }))
    await until('a copy in RAM', async () => {
      await at.edge.get(`/o1${PATH}`, { range: 'bytes=0-0' })
      return (await at.edge.count('ram_objects')) === 1
    })
    const range = `bytes=0-${length / 2 - 1000},${length / 2 + 1000}-`
    const before = process.memoryUsage().arrayBuffers
    const sockets = Array.from({ length: 10 }, () => connect({ port: at.edge.port, host: '127.0.0.1' }))
    try {
      for (const socket of sockets) {
        socket.write(`GET /o1${PATH} HTTP/1.1\r\nHost: e\r\nRange: ${range}\r\n\r\n`)
        await once(socket, 'readable')
      }
      expect(await at.edge.count('running_requests')).toBe(10)
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 * length)
    } finally {
      for (const socket of sockets) socket.destroy()
    }
    const parts = partsOf(await at.edge.get(`/o1${PATH}`, { range }))
    const whole = bytesOf(PATH, length)
    expect(parts[0]![1].equals(whole.subarray(0, length / 2 - 999))).toBe(true)
    expect(parts[1]![1].equals(whole.subarray(length / 2 + 1000))).toBe(true)
    expect(await at.edge.count('sent_bytes_total', { name: 'tier', value: 'ram' })).toBeGreaterThan(length)
  })

  it('of HEAD are ignored, on a miss and on hits', async () => {
    for (const phase of PHASES) {
      const answer = await at.edge.get(`/o1${PATH}`, { range: 'bytes=0-9' }, 'HEAD')
      await at.edge.idle()
      expect([
        answer.status,
        answer.headers['x-cache'],
        answer.headers['content-length'],
        answer.headers['content-range'],
        answer.body.length,
      ]).toEqual([200, phase, String(BODY_LENGTH), undefined, 0])
    }
  })
})
