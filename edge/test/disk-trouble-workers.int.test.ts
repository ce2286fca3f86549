import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { until } from '@millrace/common/testing/until'
import { afterEach, describe, expect, it } from 'vitest'
import { cacheFiles, segment } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes } from './origin.js'
import { twoWorkers } from './two-workers.js'

const run = promisify(execFile)
/** Long enough for a crowd to gather. */
const fetch = { headersTimeout: '20s', lockTimeout: '20s' }
const isRoot = process.getuid?.() === 0

describe('two workers whose cache disk fails', () => {
  const at = twoWorkers()
  const mounts: string[] = []
  afterEach(async () => {
    for (const mount of mounts.splice(0)) await run('umount', ['-l', mount])
  })
  /** On a connection of its own: one that was idle for as long as the disk is out may just be cut. */
  const get = async (number: number) => {
    const { status, headers, body } = await at.edge.get(`/o1${segment(number)}`, { connection: 'close' })
    expect([number, status, body.equals(bytesOf(segment(number), BODY_LENGTH))]).toEqual([number, 200, true])
    return headers['x-cache']
  }
  /** So many at once, on connections of their own: some at each worker. The origin waits for all of them. */
  const crowd = (number: number, count = 40) => {
    at.o1.behave((request, response) => {
      const all = until('the crowd', async () => (await at.edge.metric('millrace_edge_running_requests')) >= count)
      void all.then(() => serveBytes()(request, response))
    })
    return Promise.all(Array.from({ length: count }, () => get(number)))
  }
  const asked = (number: number) => at.o1.requests.filter((path) => path === segment(number)).length
  const disksIn = () => at.edge.metric('millrace_edge_cache_disk_in')

  it('serve everybody, each from one request per object, while it takes nothing; and cache again when it is back', async () => {
    await at.start({ ram: { size: '0B' }, fetch })
    const tmp = join(at.edge.cachePath, 'v2', 'tmp')
    await rm(tmp, { recursive: true })
    await writeFile(tmp, '')
    for (const number of [1, 2, 3]) {
      await crowd(number)
      // First the keeper, which doesn't know yet, and then each worker; later each worker alone.
      expect(asked(number)).toBeLessThanOrEqual(number === 1 ? 3 : 2)
      await at.edge.idle()
    }
    expect(await disksIn()).toBe(0)
    expect((await at.edge.admin('/readyz')).status).toBe(200)
    expect(await at.edge.metric('millrace_edge_broken_transfers_total')).toBe(0)
    expect(await at.edge.metric('millrace_edge_requests_total', { name: 'phase', value: 'error' })).toBe(0)
    await rm(tmp)
    await mkdir(tmp)
    await until('the disk to be back', async () => (await disksIn()) === 1)
    for (const number of [4, 5]) {
      await crowd(number)
      expect(asked(number)).toBe(1)
      await at.edge.idle()
      expect(new Set(await crowd(number))).toEqual(new Set(['hit']))
    }
  })

  it.skipIf(!isRoot)(
    'serve everybody on a disk that is full long before its budget, and cache in what there is (needs root: tmpfs)',
    async () => {
      const path = join(at.folder, 'small')
      await mkdir(path)
      await run('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=700', 'tmpfs', path])
      mounts.push(path)
      await at.start({ ram: { size: '0B' }, fetch, cache: { path, size: '64MiB', maxObject: '8MiB' } })
      const requests = []
      for (let number = 1; number <= 20; number++) {
        await crowd(number, 8)
        requests.push(asked(number))
        await at.edge.idle()
      }
      // More than one only of the object that found it full, if that.
      expect(requests.filter((count) => count > 1).length).toBeLessThanOrEqual(1)
      expect(Math.max(...requests)).toBeLessThanOrEqual(3)
      expect(await at.edge.metric('millrace_edge_broken_transfers_total')).toBe(0)
      expect(await disksIn()).toBe(1)
      expect(await get(20)).toBe('hit')
      const { entries, tmp } = await cacheFiles(path)
      expect(entries.length).toBeGreaterThan(2)
      expect(tmp).toEqual([])
    },
  )
})
