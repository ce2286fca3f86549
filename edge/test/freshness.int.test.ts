import { until } from '@millrace/common/testing/until'
import { beforeEach, describe, expect, it } from 'vitest'
import { segment, VIDEO } from './edge.js'
import { BODY_LENGTH, bytesOf, serveStatus } from './origin.js'
import { type Resource, serveResource } from './resource.js'
import { scene } from './scene.js'

const PATH = segment(1)
const MODIFIED = 'Sun, 19 Nov 2000 08:52:00 GMT'
const EARLIER = 'Sat, 18 Nov 2000 08:52:00 GMT'
const HOUR = 3_600_000
const DAY = 24 * HOUR
const httpDate = (ms: number) => new Date(ms).toUTCString()

describe('media', () => {
  const at = scene({ stale: { ifError: '0s' } })
  const resource: Resource = { body: bytesOf(PATH, BODY_LENGTH), headers: {} }
  const store = async (headers: Record<string, string>, path = PATH) => {
    resource.headers = { etag: '"1"', ...headers }
    await at.edge.get(`/o1${path}`)
    await at.edge.idle()
  }
  const phase = async (path = PATH) => {
    const { headers } = await at.edge.get(`/o1${path}`)
    await at.edge.idle()
    return headers['x-cache']
  }
  beforeEach(() => {
    at.o1.behave(serveResource(resource))
    at.o2.behave(serveStatus(404))
  })

  describe('are fresh', () => {
    // RFC 9111 §4.2.1: "s-maxage [...] if present", then max-age, then Expires. §5.3: an invalid Expires is in the past.
    it.each<[string, Record<string, string>]>([
      ['max-age=0', { 'cache-control': 'max-age=0' }],
      ['no-cache, whatever max-age says', { 'cache-control': 'no-cache, max-age=600' }],
      ['s-maxage=0 over max-age', { 'cache-control': 'max-age=600, s-maxage=0' }],
      ['an unreadable max-age over Expires', { 'cache-control': 'max-age=x', expires: httpDate(Date.now() + HOUR) }],
      ['Expires: 0', { expires: '0' }],
      ['an Expires in the past', { expires: MODIFIED }],
      ['an age beyond max-age', { 'cache-control': 'max-age=600', age: '601' }],
    ])('never by %s', async (_what, headers) => {
      await store(headers)
      expect([await phase(), at.o1.requests.length]).toEqual(['revalidated', 2])
    })

    it.each<[string, number, Record<string, string>]>([
      ['s-maxage over max-age, when it is longer', 600, { 'cache-control': 'max-age=60, s-maxage=600' }],
      ['s-maxage over max-age, when it is shorter', 60, { 'cache-control': 'max-age=600, s-maxage=60' }],
      ['max-age over Expires', 60, { 'cache-control': 'max-age=60', expires: httpDate(Date.now() + HOUR) }],
      ['max-age less the Age that it came with', 60, { 'cache-control': 'max-age=600', age: '540' }],
      ['what Expires is behind Date', 600, { date: httpDate(Date.now()), expires: httpDate(Date.now() + 600_000) }],
    ])('by %s: %i s', async (_what, seconds, headers) => {
      await store(headers)
      at.forward((seconds - 10) * 1000)
      expect(await phase()).toBe('hit')
      at.forward(20_000)
      expect(await phase()).toBe('revalidated')
    })

    it.each<[string, number, string]>([
      ['a playlist', HOUR, `/files/${VIDEO}/r1/video-720p.m3u8`],
      ['an MPD', HOUR, `/files/${VIDEO}/r1/main.mpd`],
      ['a playlist of the module', HOUR, `/hls/${VIDEO}/r1/index-f1.m3u8`],
      ['a segment', 30 * DAY, PATH],
      ['an init segment', 30 * DAY, `/dash/${VIDEO}/r1/init-f1-v1-x3.mp4`],
      ['subtitles', 30 * DAY, `/files/${VIDEO}/r1/text-eng.vtt`],
      ['a poster', 30 * DAY, `/files/${VIDEO}/r1/poster.jpg`],
    ])('by their class, when their origin says nothing: %s for %i ms', async (_what, lifetime, path) => {
      await store({}, path)
      at.forward(lifetime - 60_000)
      expect(await phase(path)).toBe('hit')
      at.forward(120_000)
      expect(await phase(path)).toBe('revalidated')
      expect(at.o1.requests).toEqual([path, path])
    })

    it('say so to the next cache: Age grows, and counts what they had when they came', async () => {
      await store({ 'cache-control': 'max-age=600', age: '100' })
      at.forward(200_000)
      const { headers } = await at.edge.get(`/o1${PATH}`)
      expect(headers['x-cache']).toBe('hit')
      expect(Number(headers.age)).toBeGreaterThanOrEqual(300)
      expect(Number(headers.age)).toBeLessThan(310)
    })
  })

  it.each<[string, Record<string, string>, Record<string, string | undefined>]>([
    ['both validators', { 'last-modified': MODIFIED }, { 'if-none-match': '"1"', 'if-modified-since': MODIFIED }],
    ['its ETag alone', {}, { 'if-none-match': '"1"', 'if-modified-since': undefined }],
    ['a weak ETag and its date', { etag: 'W/"2"', 'last-modified': MODIFIED }, { 'if-none-match': 'W/"2"', 'if-modified-since': MODIFIED }],
  ])('that have expired are asked about with %s (RFC 9111 §4.3.1)', async (_what, headers, conditions) => {
    await store({ 'cache-control': 'max-age=60', ...headers })
    at.forward(61_000)
    expect(await phase()).toBe('revalidated')
    const { 'if-none-match': noneMatch, 'if-modified-since': since } = at.o1.headers[1]!
    expect({ 'if-none-match': noneMatch, 'if-modified-since': since }).toEqual(conditions)
    expect(at.o1.headers[0]).not.toHaveProperty('if-none-match')
  })

  // RFC 9110 §13.1.3: "A recipient MUST ignore If-Modified-Since if the request contains an If-None-Match header field".
  it.each([
    ['disk', '0B'],
    ['ram', '16MiB'],
  ])('answer If-None-Match, and not the If-Modified-Since beside it: on a miss, and from %s', async (tier, size) => {
    await at.restart({ ram: { size } })
    resource.headers = { etag: '"1"', 'last-modified': MODIFIED, 'cache-control': 'max-age=600' }
    const ask = async (headers: Record<string, string>) => {
      const { status, headers: fields } = await at.edge.get(`/o1${PATH}`, headers)
      await at.edge.idle()
      return `${status} ${fields['x-cache']}`
    }
    expect(await ask({ 'if-none-match': '"2"', 'if-modified-since': MODIFIED })).toBe('200 miss')
    const answers = () => at.edge.count('answers_total', { name: 'tier', value: tier })
    await until(`answers from ${tier}`, async () => {
      const before = await answers()
      expect(await ask({ 'if-none-match': '"2"', 'if-modified-since': MODIFIED })).toBe('200 hit')
      expect(await ask({ 'if-none-match': '"1"', 'if-modified-since': EARLIER })).toBe('304 hit')
      expect(await ask({ 'if-modified-since': MODIFIED })).toBe('304 hit')
      expect(await ask({ 'if-modified-since': EARLIER })).toBe('200 hit')
      return (await answers()) === before + 4
    })
    expect(at.o1.requests).toEqual([PATH])
  })
})
