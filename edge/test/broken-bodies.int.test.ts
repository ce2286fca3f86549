import { beforeEach, describe, expect, it } from 'vitest'
import { cacheFiles, segment } from './edge.js'
import { type Behaviour, bytesOf } from './origin.js'
import { serveResource } from './resource.js'
import { scene } from './scene.js'

const LENGTH = 900_000
const PATH = segment(1)
const BODY = bytesOf(PATH, LENGTH)
const HEADERS = { etag: '"same"', 'content-type': 'video/mp4' }
/** A first byte, each third of the length, and a last byte that is missing. */
const BREAKS = [1, LENGTH / 3, (2 * LENGTH) / 3, LENGTH - 1]

describe('a body that breaks in its middle', () => {
  const at = scene()
  /** Sends so much of the whole, then hangs up; knows no ranges. */
  const breakAt =
    (sent: number, headers: Record<string, string> = HEADERS): Behaviour =>
    (_request, response) => {
      response.writeHead(200, { 'content-length': LENGTH, ...headers })
      response.write(BODY.subarray(0, sent), () => response.destroy())
    }
  const nothingStored = async () => {
    await at.edge.idle()
    expect(await cacheFiles(at.folder)).toMatchObject({ entries: [], tmp: [] })
  }
  const continued = (outcome: string) => at.edge.count('origin_continued_total', { name: 'outcome', value: outcome })
  beforeEach(() => at.o2.behave(serveResource({ body: BODY, headers: HEADERS })))

  it.each<[string, Behaviour]>([
    ['another ETag', serveResource({ body: BODY, headers: { ...HEADERS, etag: '"other"' } })],
    ['another length', serveResource({ body: Buffer.concat([BODY, Buffer.alloc(1)]), headers: HEADERS })],
    ['other bytes before the break', serveResource({ body: bytesOf('other', LENGTH), headers: HEADERS })],
  ])('ends broken where the next origin has %s, and nothing of it is stored', async (_what, behaviour) => {
    at.o1.behave(breakAt(LENGTH / 3))
    at.o2.behave(behaviour)
    await expect(at.edge.get(`/o1.o2${PATH}`)).rejects.toThrow()
    await nothingStored()
    expect([await continued('mismatch'), await at.edge.count('broken_transfers_total')]).toEqual([1, 1])
  })

  it.each([
    ['no ETag', {}],
    ['a weak one', { etag: 'W/"same"' }],
  ])('ends broken where there is %s to compare, and nothing of it is stored', async (_what, headers) => {
    at.o1.behave(breakAt(LENGTH / 3, headers))
    at.o2.behave(serveResource({ body: BODY, headers }))
    await expect(at.edge.get(`/o1.o2${PATH}`)).rejects.toThrow()
    await nothingStored()
  })

  it('ends broken where nobody else has it, and is fetched anew by the next request', async () => {
    at.o1.behave(breakAt(LENGTH / 3))
    await at.o2.stop()
    await expect(at.edge.get(`/o1.o2${PATH}`)).rejects.toThrow()
    await nothingStored()
    at.o1.behave(serveResource({ body: BODY, headers: HEADERS }))
    const again = await at.edge.get(`/o1${PATH}`)
    expect([again.headers['x-cache'], again.body.equals(BODY)]).toEqual(['miss', true])
  })

  it.each(BREAKS.flatMap((sent) => [`/o1.o2`, '/o1'].map((route) => [sent, route] as const)))(
    'after %i bytes goes on at the other origin (%s), and no viewer notices; it is stored whole',
    async (sent, route) => {
      at.o1.behave(breakAt(sent))
      const answers = await Promise.all(Array.from({ length: 5 }, () => at.edge.get(route + PATH)))
      for (const answer of answers)
        expect([answer.status, answer.headers['content-length'], answer.body.equals(BODY)]).toEqual([200, String(LENGTH), true])
      // The only origin of a route is given a second chance, before others are asked.
      expect(await continued('continued')).toBe(route === '/o1' ? 2 : 1)
      expect(at.o2.headers[0]?.range).toMatch(/^bytes=\d+-$/)
      await at.edge.idle()
      const hit = await at.edge.get(route + PATH)
      expect([hit.headers['x-cache'], hit.body.equals(BODY), at.o1.requests.length]).toEqual(['hit', true, at.o1.requests.length])
      expect(await at.edge.count('broken_transfers_total')).toBe(0)
    },
  )

  it('goes on at an origin that knows no ranges, from its whole', async () => {
    at.o1.behave(breakAt(LENGTH / 2))
    at.o2.behave((_request, response) => void response.writeHead(200, { 'content-length': LENGTH, ...HEADERS }).end(BODY))
    expect((await at.edge.get(`/o1.o2${PATH}`)).body.equals(BODY)).toBe(true)
  })

  it('goes on when its origin falls silent instead', async () => {
    await at.restart({ fetch: { bodyTimeout: '300ms' } })
    at.o1.behave((_request, response) => {
      response.writeHead(200, { 'content-length': LENGTH, ...HEADERS }).write(BODY.subarray(0, LENGTH / 3))
    })
    expect((await at.edge.get(`/o1.o2${PATH}`)).body.equals(BODY)).toBe(true)
  })

  it('may break at several origins, one after the other', async () => {
    const whole = serveResource({ body: BODY, headers: HEADERS })
    at.o1.behave((request, response) => (at.o1.requests.length > 1 ? whole : breakAt(LENGTH / 3))(request, response))
    at.o2.behave((request, response) => {
      const start = Number(/\d+/.exec(request.headers.range ?? '')![0])
      response.writeHead(206, { ...HEADERS, 'content-length': LENGTH - start, 'content-range': `bytes ${start}-${LENGTH - 1}/${LENGTH}` })
      response.write(BODY.subarray(start, 2 * (LENGTH / 3)), () => response.destroy())
    })
    expect((await at.edge.get(`/o1.o2${PATH}`)).body.equals(BODY)).toBe(true)
    expect([await continued('continued'), at.o1.requests.length, at.o2.requests.length]).toEqual([2, 2, 1])
  })
})
