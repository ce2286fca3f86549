import { existsSync } from 'node:fs'
import { copyFile, mkdir, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { cacheFiles, segment, startTestEdge, type TestEdge, tempFolder } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes, startOrigin, type TestOrigin } from './origin.js'

describe("an edge's disk cache", () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: TestEdge | undefined

  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
  })
  afterEach(async () => {
    await edge?.stop()
    await o1.stop()
    await folder.remove()
  })
  const start = async (overrides?: Record<string, unknown>) => {
    edge = await startTestEdge(folder.path, [o1], overrides)
    return edge
  }
  const stored = (count: number) =>
    until(`${count} entries`, async () => {
      const files = await cacheFiles(folder.path)
      return files.entries.length === count && files.tmp.length === 0 && files
    })

  it('serves nothing of torn, swapped and foreign files after a restart, and removes them', async () => {
    const first = await start()
    for (const number of [1, 2, 3, 4]) await first.get(`/o1${segment(number)}`)
    const { entries } = await stored(4)
    await first.stop()
    await truncate(entries[0]!, 200_000)
    await truncate(entries[1]!, 100)
    await copyFile(entries[3]!, entries[2]!)
    const foreign = ['v1/aa/1', 'v2/aa/stranger', 'v2/stranger', 'v2/tmp/left'].map((name) => join(folder.path, name))
    for (const file of foreign) {
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, 'x')
    }
    const second = await start()
    const phases = []
    for (const number of [1, 2, 3, 4]) {
      const answer = await second.get(`/o1${segment(number)}`)
      expect(answer.body.equals(bytesOf(segment(number), BODY_LENGTH))).toBe(true)
      phases.push(answer.headers['x-cache'])
    }
    expect(phases.sort()).toEqual(['hit', 'miss', 'miss', 'miss'])
    await stored(4)
    await until('the foreign files to be gone', () => foreign.every((file) => !existsSync(file)))
  })

  it('never takes more than its budget on disk, and counts what had to go', async () => {
    const small = await start({ cache: { path: folder.path, size: '1MiB', maxObject: '512KiB' } })
    for (let number = 1; number <= 12; number++) {
      await small.get(`/o1${segment(number)}`)
      // One file goes and another grows while a folder is being listed: only at rest is the sum that of one moment.
      await small.idle()
      expect((await cacheFiles(folder.path)).diskBytes).toBeLessThanOrEqual(1 << 20)
    }
    await stored(3)
    expect((await small.get(`/o1${segment(12)}`)).headers['x-cache']).toBe('hit')
    expect((await small.get(`/o1${segment(1)}`)).headers['x-cache']).toBe('miss')
    const status = JSON.parse((await small.admin('/v1/status')).text)
    expect(status.cache.evictedBytes).toBeGreaterThan(9 * BODY_LENGTH)
    expect(status.cache.bytes).toBeLessThanOrEqual(1 << 20)
  })

  it('keeps within its budget while parallel fills outgrow it, and answers them all', async () => {
    const small = await start({ cache: { path: folder.path, size: '1MiB', maxObject: '512KiB' } })
    const numbers = Array.from({ length: 24 }, (_, index) => index + 1)
    const answers = await Promise.all(numbers.map((number) => small.get(`/o1${segment(number)}`)))
    answers.forEach((answer, index) => {
      expect(answer.body.equals(bytesOf(segment(index + 1), BODY_LENGTH))).toBe(true)
    })
    await small.idle()
    expect((await cacheFiles(folder.path)).diskBytes).toBeLessThanOrEqual(1 << 20)
  })

  it('lets a smaller budget after a restart evict the least recently used', async () => {
    const first = await start()
    for (const number of [1, 2, 3, 4]) await first.get(`/o1${segment(number)}`)
    await stored(4)
    for (const number of [3, 1]) await first.get(`/o1${segment(number)}`)
    await first.stop()
    const second = await start({ cache: { path: folder.path, size: '1MiB', maxObject: '512KiB' } })
    await stored(3)
    expect((await cacheFiles(folder.path)).diskBytes).toBeLessThanOrEqual(1 << 20)
    await o1.stop()
    for (const number of [1, 3, 4]) expect((await second.get(`/o1${segment(number)}`)).headers['x-cache']).toBe('hit')
    expect((await second.get(`/o1${segment(2)}`)).status).toBe(502)
  })

  it('finishes a transfer whose entry is evicted meanwhile', async () => {
    const large = 6 << 20
    o1.behave(serveBytes((path) => (path === segment(1) ? large : BODY_LENGTH)))
    const small = await start({ cache: { path: folder.path, size: '8MiB', maxObject: '8MiB' } })
    await small.get(`/o1${segment(1)}`)
    await stored(1)
    const slow = await request(`${small.url}/o1${segment(1)}`)
    expect(slow.headers['x-cache']).toBe('hit')
    const iterator = slow.body[Symbol.asyncIterator]()
    const parts: Buffer[] = [(await iterator.next()).value]
    for (let number = 2; number <= 12; number++) await small.get(`/o1${segment(number)}`)
    expect((await small.get(`/o1${segment(2)}`)).headers['x-cache']).toBe('hit')
    expect(await cacheFiles(folder.path)).toSatisfy((files: { diskBytes: number }) => files.diskBytes < large)
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) parts.push(next.value)
    expect(Buffer.concat(parts).equals(bytesOf(segment(1), large))).toBe(true)
  })

  it('fetches an entry again when its lifetime has ended', async () => {
    o1.behave(serveBytes(BODY_LENGTH, { 'cache-control': 'max-age=1' }))
    const only = await start()
    await only.get(`/o1${segment(1)}`)
    await stored(1)
    await until('the entry to be stale', async () => (await only.get(`/o1${segment(1)}`)).headers['x-cache'] === 'miss')
    expect(o1.requests.length).toBe(2)
    await stored(1)
  })

  it('is kept over a restart: a hit with the origin down', async () => {
    await (await start()).get(`/o1${segment(1)}`)
    await stored(1)
    await edge?.stop()
    await o1.stop()
    const hit = await (await start()).get(`/o1${segment(1)}`)
    expect([hit.status, hit.headers['x-cache'], hit.body.equals(bytesOf(segment(1), BODY_LENGTH))]).toEqual([200, 'hit', true])
  })
})
