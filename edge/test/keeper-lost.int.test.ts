import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { cacheFiles, segment, tempFolder } from './edge.js'
import { type Behaviour, BODY_LENGTH, bytesOf, serveBytes, startOrigin, type TestOrigin } from './origin.js'
import { ADMIN_TOKEN, EdgeProcess } from './processes.js'
import { type Viewer, viewerOfEach } from './viewers.js'

const SENT = 150_000
const run = promisify(execFile)

/** Sends the beginning of a body, and no more. */
function stall(headers: Record<string, string>, length = BODY_LENGTH): Behaviour {
  return (request, response) => {
    response.writeHead(200, { 'content-length': length, 'content-type': 'video/mp4', ...headers })
    response.write(bytesOf(request.url ?? '', length).subarray(0, SENT))
  }
}

describe('the keeper of two workers', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: EdgeProcess
  let viewers: Viewer[] = []

  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    edge = await EdgeProcess.start(folder.path, [o1], { workers: 2, fetch: { bodyTimeout: '30s' } })
  })
  afterEach(async () => {
    for (const viewer of viewers) viewer.close()
    await edge.end()
    await o1.stop()
    await folder.remove()
  })

  const keeper = () => edge.roles().keeper!
  /** Two transfers of one stalled fill, one at each worker, which have all that was sent. */
  const twoOf = async (path: string) => {
    viewers = await viewerOfEach(edge.port, edge.roles().workers)
    const transfers: { answer: IncomingMessage; body: () => Buffer; over: Promise<unknown> }[] = []
    for (const viewer of viewers) {
      const answer = await viewer.open(`/o1${path}`)
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('error', () => undefined)
      transfers.push({ answer, body: () => Buffer.concat(chunks), over: new Promise((resolve) => answer.once('close', resolve)) })
    }
    await until('what was sent', () => transfers.every(({ body }) => body().length === SENT))
    return transfers
  }

  it.each([
    ['another ETag', { etag: '"a"' }, { etag: '"b"' }],
    ['no ETag', {}, {}],
    ['a weak ETag', { etag: 'W/"a"' }, { etag: 'W/"a"' }],
  ])(
    'that is killed in mid-body, of which the next fill has %s, costs the viewers the rest: no byte of it is mixed in',
    async (_what, first, second) => {
      o1.behave(stall(first))
      const transfers = await twoOf(segment(1))
      o1.behave(serveBytes(BODY_LENGTH, second))
      process.kill(keeper(), 'SIGKILL')
      for (const { answer, body, over } of transfers) {
        await over
        expect(answer.complete).toBe(false)
        expect(body().equals(bytesOf(segment(1), BODY_LENGTH).subarray(0, SENT))).toBe(true)
      }
      await until('the break to be counted', async () => (await edge.metric('millrace_edge_broken_transfers_total')) === 2)
      expect((await edge.get(`/o1${segment(1)}`)).body.equals(bytesOf(segment(1), BODY_LENGTH))).toBe(true)
    },
  )

  it('that is killed in mid-body, where an equal ETag hides other bytes, costs the viewers the rest', async () => {
    o1.behave(stall({ etag: '"a"' }))
    const [transfer] = await twoOf(segment(1))
    o1.behave((_request, response) => {
      response.writeHead(200, { 'content-length': BODY_LENGTH, etag: '"a"' }).end(bytesOf('other', BODY_LENGTH))
    })
    process.kill(keeper(), 'SIGKILL')
    await transfer!.over
    expect(transfer!.answer.complete).toBe(false)
    expect(transfer!.body().length).toBe(SENT)
  })

  it('that is killed in mid-body is replaced, and no viewer notices; hits go on, misses wait', async () => {
    await edge.get(`/o1${segment(2)}`)
    await edge.idle()
    o1.behave(stall({ etag: '"a"' }))
    const transfers = await twoOf(segment(1))
    o1.behave(serveBytes(BODY_LENGTH, { etag: '"a"' }))
    const killed = keeper()
    process.kill(killed, 'SIGKILL')
    const miss = edge.get(`/o1${segment(3)}`)
    for (const hit of await Promise.all(Array.from({ length: 20 }, () => edge.get(`/o1${segment(2)}`)))) {
      expect([hit.status, hit.headers['x-cache'], hit.body.equals(bytesOf(segment(2), BODY_LENGTH))]).toEqual([200, 'hit', true])
    }
    for (const { body, over } of transfers) {
      await over
      expect(body().equals(bytesOf(segment(1), BODY_LENGTH))).toBe(true)
    }
    expect((await miss).body.equals(bytesOf(segment(3), BODY_LENGTH))).toBe(true)
    // One fill that was lost, one for both viewers, one for the miss, and the one before.
    expect([...o1.requests].sort()).toEqual([segment(1), segment(1), segment(2), segment(3)])
    await edge.replaced(killed)
    await edge.idle()
    expect(await edge.metric('millrace_edge_broken_transfers_total')).toBe(0)
    expect(await cacheFiles(edge.cachePath)).toMatchObject({ entries: { length: 3 }, tmp: [] })
  })

  it('that is killed loses nothing of the cache: what was stored before are hits at both workers, without a request to the origin', async () => {
    const numbers = [1, 2, 3, 4, 5, 6]
    for (const number of numbers) await edge.get(`/o1${segment(number)}`)
    await edge.idle()
    const killed = keeper()
    process.kill(killed, 'SIGKILL')
    await edge.replaced(killed)
    viewers = await viewerOfEach(edge.port, edge.roles().workers)
    for (const viewer of viewers) {
      for (const number of numbers) {
        const { headers, body } = await viewer.get(`/o1${segment(number)}`)
        expect([headers['x-cache'], body.equals(bytesOf(segment(number), BODY_LENGTH))]).toEqual(['hit', true])
      }
    }
    expect([...o1.requests].sort()).toEqual(numbers.map(segment))
    // It reads its folders while it serves.
    await until('all to be counted', async () => (await edge.metric('millrace_edge_cache_objects')) === numbers.length)
    // And it keeps on: what comes now is stored as well.
    await edge.get(`/o1${segment(7)}`)
    await edge.idle()
    for (const viewer of viewers) expect((await viewer.get(`/o1${segment(7)}`)).headers['x-cache']).toBe('hit')
  })

  it('that hangs costs no viewer anything: hits go on, misses pass after a while, the later ones at once; purges are refused', async () => {
    await edge.get(`/o1${segment(2)}`)
    await edge.idle()
    const hung = keeper()
    process.kill(hung, 'SIGSTOP')
    const purge = edge.admin('/v1/purge', { method: 'POST', body: { version: 1, scope: 'all' }, token: ADMIN_TOKEN })
    viewers = await viewerOfEach(edge.port, edge.roles().workers)
    const [first, second] = viewers as [Viewer, Viewer]
    expect((await first.get(`/o1${segment(2)}`)).headers['x-cache']).toBe('hit')
    const misses = await Promise.all([first.get(`/o1${segment(3)}`), second.get(`/o1${segment(3)}`)])
    for (const { status, body } of misses) expect([status, body.equals(bytesOf(segment(3), BODY_LENGTH))]).toEqual([200, true])
    const began = performance.now()
    expect((await first.get(`/o1${segment(4)}`)).status).toBe(200)
    expect(performance.now() - began).toBeLessThan(2000)
    // Each worker asked for itself: there was nobody to tell it of the other.
    expect(o1.requests.filter((path) => path === segment(3))).toHaveLength(2)
    expect((await purge).status).toBe(503)
    await edge.replaced(hung)
    expect(await edge.metric('millrace_edge_child_restarts_total', { name: 'reason', value: 'hung' })).toBe(1)
    let number = 5
    await until('what one fetched to be there for the other', async () => {
      const path = `/o1${segment(number++)}`
      expect((await first.get(path)).headers['x-cache']).toBe('miss')
      await edge.idle()
      return (await second.get(path)).headers['x-cache'] === 'hit'
    })
  })

  it.skipIf(process.getuid?.() !== 0)('whose disk is full in mid-body costs no viewer anything (needs root: tmpfs)', async () => {
    const path = join(folder.path, 'small')
    await mkdir(path)
    await run('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=700', 'tmpfs', path])
    try {
      await edge.end()
      edge = await EdgeProcess.start(folder.path, [o1], { workers: 2, cache: { disks: [{ path, size: '64MiB' }] } })
      o1.behave(serveBytes(BODY_LENGTH, { etag: '"a"' }))
      viewers = await viewerOfEach(edge.port, edge.roles().workers)
      for (let number = 1; number <= 12; number++) {
        const answers = await Promise.all([...viewers, ...viewers].map((viewer) => viewer.get(`/o1${segment(number)}`)))
        for (const { status, body } of answers) {
          expect([status, body.equals(bytesOf(segment(number), BODY_LENGTH))]).toEqual([200, true])
        }
        await edge.idle()
      }
      expect(await edge.metric('millrace_edge_cache_faults_total', { name: 'operation', value: 'write' })).toBeGreaterThan(0)
      expect(await edge.metric('millrace_edge_broken_transfers_total')).toBe(0)
    } finally {
      await edge.end()
      await run('umount', ['-l', path])
    }
  })
})
