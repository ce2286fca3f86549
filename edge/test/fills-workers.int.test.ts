import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import { cacheFiles, segment } from './edge.js'
import { type Behaviour, BODY_LENGTH, bytesOf, serveBytes, serveInTwo } from './origin.js'
import { twoWorkers } from './two-workers.js'

const ETAG = '"e"'

/** Serves the part that is asked for. */
const serveRanges: Behaviour = (request, response) => {
  const body = bytesOf(request.url ?? '', BODY_LENGTH)
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  const range = `bytes ${start}-${BODY_LENGTH - 1}/${BODY_LENGTH}`
  const part = request.headers.range !== undefined
  response.writeHead(part ? 206 : 200, { 'content-length': BODY_LENGTH - start, etag: ETAG, ...(part && { 'content-range': range }) })
  response.end(body.subarray(start))
}

/** Sends a third, and hangs up when told. */
function serveThird(): { behaviour: Behaviour; hangUp: () => void } {
  let hangUp = () => {}
  const told = new Promise<void>((resolve) => {
    hangUp = resolve
  })
  return {
    hangUp,
    behaviour: (request, response) => {
      response.writeHead(200, { 'content-length': BODY_LENGTH, etag: ETAG })
      response.write(bytesOf(request.url ?? '', BODY_LENGTH).subarray(0, BODY_LENGTH / 3))
      void told.then(() => response.destroy())
    },
  }
}

async function whole(answer: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('a fill that viewers of two workers read', () => {
  const at = twoWorkers()

  it('is not stored when it began before a purge, asked for at the one worker or at the other', async () => {
    const half = serveInTwo(100_000)
    at.o1.behave(half.behaviour)
    const edge = await at.start()
    const [one, two] = await at.viewers()
    const running = await one.open(`/o1${segment(1)}`)
    const joined = await two.open(`/o1${segment(1)}`)
    expect([running.headers['x-cache'], joined.headers['x-cache']]).toEqual(['miss', 'coalesced'])
    const { status, text } = await edge.admin('/v1/purge', { method: 'POST', body: { version: 1, scope: 'all' } })
    expect([status, JSON.parse(text).workers]).toEqual([200, 2])
    half.release()
    for (const answer of [running, joined]) expect((await whole(answer)).equals(bytesOf(segment(1), BODY_LENGTH))).toBe(true)
    await edge.idle()
    expect(await edge.metric('millrace_edge_fills_total', { name: 'outcome', value: 'purged' })).toBe(1)
    expect((await cacheFiles(edge.cachePath)).entries).toEqual([])
    at.o1.behave(serveBytes())
    expect((await two.get(`/o1${segment(1)}`)).headers['x-cache']).toBe('miss')
    await edge.idle()
    expect((await one.get(`/o1${segment(1)}`)).headers['x-cache']).toBe('hit')
    expect(at.o1.requests).toHaveLength(2)
  })

  it('goes on at the next origin when the first one breaks: neither viewer notices, and it counts once', async () => {
    const third = serveThird()
    at.o1.behave(third.behaviour)
    at.o2.behave(serveRanges)
    const edge = await at.start()
    const answers = []
    for (const viewer of await at.viewers()) answers.push(await viewer.open(`/o1.o2${segment(1)}`))
    const bodies = answers.map(whole)
    third.hangUp()
    for (const body of await Promise.all(bodies)) expect(body.equals(bytesOf(segment(1), BODY_LENGTH))).toBe(true)
    await edge.idle()
    expect(await edge.metric('millrace_edge_origin_continued_total', { name: 'outcome', value: 'continued' })).toBe(1)
    expect(await edge.metric('millrace_edge_origin_continued_total')).toBe(1)
    expect([at.o1.requests, at.o2.requests]).toEqual([[segment(1)], [segment(1)]])
    expect((await edge.get(`/o1${segment(1)}`)).headers['x-cache']).toBe('hit')
  })

  it('goes on when its leader leaves, and is whole for the viewer of the other worker', async () => {
    const half = serveInTwo(100_000)
    at.o1.behave(half.behaviour)
    const edge = await at.start()
    const [one, two] = await at.viewers()
    const led = await one.open(`/o1${segment(1)}`)
    const joined = await two.open(`/o1${segment(1)}`)
    expect([led.headers['x-cache'], joined.headers['x-cache']]).toEqual(['miss', 'coalesced'])
    led.destroy()
    await until('the leader to be gone', async () => (await edge.metric('millrace_edge_client_aborts_total')) === 1)
    half.release()
    expect((await whole(joined)).equals(bytesOf(segment(1), BODY_LENGTH))).toBe(true)
    await edge.idle()
    expect((await two.get(`/o1${segment(1)}`)).headers['x-cache']).toBe('hit')
    expect(at.o1.requests).toEqual([segment(1)])
  })

  it('does not wait for a leader that stops reading', async () => {
    // More than the buffers of both ends of a socket hold.
    const length = 32 << 20
    at.o1.behave(serveBytes(length))
    const edge = await at.start({ cache: { path: `${at.folder}/cache`, size: '64MiB', maxObject: '32MiB' } })
    const [one, two] = await at.viewers()
    const led = await one.open(`/o1${segment(1)}`)
    led.pause()
    led.on('error', () => undefined)
    const { status, body } = await two.get(`/o1${segment(1)}`)
    expect([status, body.equals(bytesOf(segment(1), length))]).toEqual([200, true])
    await edge.idle()
    expect(led.complete).toBe(false)
    expect(await edge.metric('millrace_edge_running_requests')).toBe(1)
    expect(at.o1.requests).toEqual([segment(1)])
    led.destroy()
  })
})
