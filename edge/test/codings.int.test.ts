import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { until } from '@millrace/common/testing/until'
import { beforeEach, describe, expect, it } from 'vitest'
import { type Answer, segment, VIDEO } from './edge.js'
import { BODY_LENGTH, serveBytes } from './origin.js'
import { type Resource, serveResource } from './resource.js'
import { scene } from './scene.js'

const PLAYLIST = `/files/${VIDEO}/r1/video-720p.m3u8`

describe('a playlist in a content coding', () => {
  const at = scene()
  const playlist: Resource = { body: Buffer.from(''), headers: {} }
  beforeEach(() => {
    const lines = Array.from({ length: 200 }, (_, index) => `#EXTINF:4.000,\n../../fragment-${index}-f1-v1-x3.m4s\n`)
    playlist.body = Buffer.from(`#EXTM3U\n${lines.join('')}`)
    playlist.headers = { etag: '"p"', 'content-type': 'application/vnd.apple.mpegurl', 'cache-control': 'max-age=60' }
    at.o1.behave(serveResource(playlist))
  })
  const ask = (encoding: string, headers: Record<string, string> = {}) =>
    at.edge.get(`/o1${PLAYLIST}`, { 'accept-encoding': encoding, ...headers })
  const untilCoded = (encoding: string): Promise<Answer> =>
    until(`an answer in ${encoding}`, async () => {
      const answer = await ask(encoding)
      return answer.headers['content-encoding'] !== undefined && answer
    })

  it.each(['identity', 'gzip;q=0', 'gzip;q=0, br;q=0.0', '*;q=0', 'gzip;q=0, *;q=0', 'zstd'])(
    'is never sent to who takes %s',
    async (encoding) => {
      await untilCoded('gzip')
      await untilCoded('br')
      const answer = await ask(encoding)
      expect([answer.headers['content-encoding'], answer.headers.etag, answer.body.equals(playlist.body)]).toEqual([undefined, '"p"', true])
    },
  )

  it('is never asked of the origin', async () => {
    await ask('br, gzip')
    expect(at.o1.headers.map((headers) => headers['accept-encoding'])).toEqual(['identity'])
  })

  it('is made of nothing that is compressed already, too short, or grows by it', async () => {
    at.o1.behave(serveBytes((path) => (path === PLAYLIST ? 100 : BODY_LENGTH), { 'content-type': 'video/mp4' }))
    for (let i = 0; i < 6; i++) {
      for (const path of [segment(1), PLAYLIST]) {
        const { headers } = await at.edge.get(`/o1${path}`, { 'accept-encoding': 'br, gzip' })
        expect([headers['content-encoding'], headers.vary]).toEqual([undefined, undefined])
      }
      await at.edge.idle()
    }
  })

  it('is not made of what its origin wants untransformed', async () => {
    playlist.headers = { ...playlist.headers, 'cache-control': 'max-age=60, No-Transform' }
    for (let i = 0; i < 6; i++) {
      const { headers, body } = await ask('br, gzip')
      expect([headers['content-encoding'], headers.vary, body.equals(playlist.body)]).toEqual([undefined, undefined, true])
      await at.edge.idle()
    }
    expect(await at.edge.count('answers_total', { name: 'tier', value: 'ram' })).toBeGreaterThan(0)
  })

  it('is not sent in part: ranges are of the identity, with its ETag', async () => {
    await untilCoded('br')
    for (const range of ['bytes=10-19', 'bytes=-10']) {
      const part = await ask('br', { range })
      const expected = range === 'bytes=-10' ? playlist.body.subarray(-10) : playlist.body.subarray(10, 20)
      expect([part.status, part.headers['content-encoding'], part.headers.etag, part.body.equals(expected)]).toEqual([
        206,
        undefined,
        '"p"',
        true,
      ])
      expect(part.headers['content-range']).toMatch(new RegExp(`/${playlist.body.length}$`))
    }
    const coded = await ask('br', { range: 'bytes=0-9', 'if-range': '"p-br"' })
    expect([coded.status, coded.body.equals(playlist.body)]).toEqual([200, true])
  })

  it.each<[string, string, (body: Buffer) => Buffer]>([
    ['gzip', 'gzip, deflate', gunzipSync],
    ['gzip', 'br;q=0.5, gzip', gunzipSync],
    ['br', 'gzip, deflate, br, zstd', brotliDecompressSync],
    ['br', '*', brotliDecompressSync],
  ])('is %s for who takes %s: shorter, the same when decoded, with an ETag of its own and Vary', async (coding, encoding, decode) => {
    const answer = await untilCoded(encoding)
    expect(decode(answer.body).equals(playlist.body)).toBe(true)
    expect(answer.body.length).toBeLessThan(playlist.body.length / 2)
    expect(answer.headers).toMatchObject({
      'x-cache': 'hit',
      'content-encoding': coding,
      etag: `"p-${coding}"`,
      vary: 'accept-encoding',
      'content-length': String(answer.body.length),
      'content-type': 'application/vnd.apple.mpegurl',
    })
    const identity = await ask('identity')
    expect([identity.headers.vary, identity.headers.etag]).toEqual(['accept-encoding', '"p"'])
    expect(at.o1.requests).toEqual([PLAYLIST])
  })

  it('is confirmed by its own ETag, HEAD tells its length', async () => {
    const { headers, body } = await untilCoded('gzip')
    const confirmed = await ask('gzip', { 'if-none-match': String(headers.etag) })
    expect([confirmed.status, confirmed.headers.etag, confirmed.headers.vary, confirmed.body.length]).toEqual([
      304,
      '"p-gzip"',
      'accept-encoding',
      0,
    ])
    const asked = await at.edge.get(`/o1${PLAYLIST}`, { 'accept-encoding': 'gzip' }, 'HEAD')
    expect([asked.status, asked.headers['content-encoding'], asked.headers['content-length']]).toEqual([200, 'gzip', String(body.length)])
  })

  it('is made once, and anew for what replaces it', async () => {
    const first = await untilCoded('br')
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask('br')))
    for (const answer of answers) expect(answer.body.equals(first.body)).toBe(true)
    playlist.body = Buffer.from(`${playlist.body}#EXT-X-ENDLIST\n`)
    playlist.headers = { ...playlist.headers, etag: '"q"' }
    at.forward(61_000)
    expect((await ask('br')).body.equals(playlist.body)).toBe(true)
    const second = await untilCoded('br')
    expect([second.headers.etag, brotliDecompressSync(second.body).equals(playlist.body)]).toEqual(['"q-br"', true])
  })
})
