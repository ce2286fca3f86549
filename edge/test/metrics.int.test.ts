import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sumOf } from '../src/harness/metrics-text.js'
import { segment, startTestEdge, type TestEdge, tempFolder, VIDEO } from './edge.js'
import { BODY_LENGTH, serveBytes, serveInTwo, serveStatus, startOrigin, type TestOrigin } from './origin.js'

describe('metrics of a running edge', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: TestEdge

  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    edge = await startTestEdge(folder.path, [o1])
  })
  afterEach(async () => {
    await edge.stop()
    await o1.stop()
    await folder.remove()
  })

  const path = `/o1${segment(1)}`
  const counts = async (metric: string, label: string, values: string[]) => {
    const { text } = await edge.admin('/metrics')
    return values.map((value) => sumOf(text, metric, { name: label, value }))
  }

  it('count what became of stale objects: no origin, a new answer, or a 304', async () => {
    const stale = { 'cache-control': 'max-age=0, stale-if-error=60' }
    o1.behave(serveBytes(1000, stale))
    await edge.get(path)
    await edge.idle()
    o1.behave(serveStatus(500))
    expect((await edge.get(path)).headers['x-cache']).toBe('stale')
    o1.behave((request, response) => {
      if (request.headers['if-none-match']) response.writeHead(304, stale).end()
      else serveBytes(1000, stale)(request, response)
    })
    expect((await edge.get(path)).headers['x-cache']).toBe('revalidated')
    o1.behave(serveBytes(2000, { 'cache-control': 'max-age=60' }))
    expect((await edge.get(path)).headers['x-cache']).toBe('miss')
    await edge.idle()
    const outcomes = ['failed', 'confirmed', 'replaced']
    expect(await counts('millrace_edge_revalidations_total', 'outcome', outcomes)).toEqual([1, 1, 1])
  })

  describe('of a miss, joiners, hits of both tiers, a failing origin, a silent one and what nobody has', () => {
    const playlist = `/o1.o2/files/${VIDEO}/r1/video-720p.m3u8`
    const route = (number: number) => `/o1.o2${segment(number)}`
    const PLAYLIST_BYTES = 2000
    let o2: TestOrigin
    let text: string
    let missing: number

    beforeEach(async () => {
      await edge.stop()
      o2 = await startOrigin()
      edge = await startTestEdge(folder.path, [o1, o2], { fetch: { headersTimeout: '500ms' } })
      const half = serveInTwo(1000)
      o1.behave(half.behaviour)
      const joined = Array.from({ length: 3 }, () => edge.get(route(1)))
      await until('all three', async () => (await edge.count('running_requests')) === 3)
      half.release()
      await Promise.all(joined)
      o1.behave(serveBytes((path) => (path.endsWith('.m3u8') ? PLAYLIST_BYTES : BODY_LENGTH)))
      await edge.get(playlist)
      await edge.idle()
      await edge.get(route(1))
      await edge.get(playlist)
      await until('a copy in RAM', async () => (await edge.count('ram_objects')) === 1)
      await edge.get(playlist)
      o1.behave(serveStatus(500))
      await edge.get(route(2))
      o1.behave(() => undefined)
      await edge.get(route(3))
      for (const origin of [o1, o2]) origin.behave(serveStatus(404))
      missing = (await edge.get(route(4))).body.length
      await edge.idle()
      text = (await edge.admin('/metrics')).text
    })
    afterEach(() => o2.stop())

    /** Values by label of what is not zero. */
    const values = (metric: string, label: string) => {
      const found: Record<string, number> = {}
      for (const [, labels, value] of text.matchAll(new RegExp(`^millrace_edge_${metric}\\{(.*)\\} (\\S+)$`, 'gm'))) {
        const name = new RegExp(`(?:^|,)${label}="([^"]*)"`).exec(labels!)![1]!
        if (Number(value) > 0) found[name] = (found[name] ?? 0) + Number(value)
      }
      return found
    }

    it('count each request by what it was', () => {
      expect(values('requests_total', 'phase')).toEqual({ miss: 5, coalesced: 2, hit: 3 })
      expect(values('requests_total', 'class')).toEqual({ segment: 7, playlist: 3 })
      expect(values('head_seconds_count', 'phase')).toEqual({ miss: 5, coalesced: 2, hit: 3 })
      expect(values('misses_total', 'cause')).toEqual({ cold: 4 })
      expect(sumOf(text, 'millrace_edge_coalesced_waiters_total')).toBe(2)
    })

    it('count bytes and answers by their tier', () => {
      expect(values('answers_total', 'tier')).toEqual({ fill: 6, disk: 2, ram: 1, edge: 1 })
      expect(values('sent_bytes_total', 'tier')).toEqual({
        fill: 5 * BODY_LENGTH + PLAYLIST_BYTES,
        disk: BODY_LENGTH + PLAYLIST_BYTES,
        ram: PLAYLIST_BYTES,
        edge: missing,
      })
    })

    it('count what origins answered, and the fills', () => {
      expect(values('origin_attempts_total', 'outcome')).toEqual({ ok: 4, 'server-error': 1, timeout: 1, missing: 2 })
      expect(values('origin_attempts_total', 'origin')).toEqual({ o1: 5, o2: 3 })
      expect(values('fills_total', 'outcome')).toEqual({ stored: 4, missing: 1 })
      expect(sumOf(text, 'millrace_edge_fill_seconds_count')).toBe(5)
    })

    it('tell of a loop that lags', () => {
      expect(text).toMatch(/^\S*eventloop_lag_p99_seconds\{.*\} \d/m)
    })
  })

  it('count a miss once, however many requests joined it', async () => {
    const half = serveInTwo(1000)
    o1.behave(half.behaviour)
    const answers = Promise.all([edge.get(path), edge.get(path), edge.get(path)])
    half.release()
    await answers
    await edge.idle()
    expect(await counts('millrace_edge_misses_total', 'cause', ['cold', 'expired'])).toEqual([1, 0])
  })
})
