import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sumOf } from '../src/harness/metrics-text.js'
import { segment, startTestEdge, type TestEdge, tempFolder } from './edge.js'
import { serveBytes, serveInTwo, serveStatus, startOrigin, type TestOrigin } from './origin.js'

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
