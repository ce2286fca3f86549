import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { until } from '@millrace/common/testing/until'
import { afterEach, describe, expect, it } from 'vitest'
import { cacheFiles, segment } from './edge.js'
import { BODY_LENGTH, bytesOf } from './origin.js'
import { twoWorkers } from './two-workers.js'

const run = promisify(execFile)
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
  /** 40 at once, on connections of their own: some at each worker. */
  const crowd = (number: number) => Promise.all(Array.from({ length: 40 }, () => get(number)))
  const asked = (number: number) => at.o1.requests.filter((path) => path === segment(number)).length
  const disksIn = () => at.edge.metric('millrace_edge_cache_disk_in')

  /** So many at once. @returns how many of them broke: what a file lacks can't go from process to process */
  const brokenOf = async (number: number, count: number) => {
    const whole = await Promise.all(
      Array.from({ length: count }, async () => {
        const { statusCode, body } = await at.edge.open(`/o1${segment(number)}`, { connection: 'close' })
        expect([number, statusCode]).toEqual([number, 200])
        const bytes = await body.arrayBuffer().then(Buffer.from, () => undefined)
        if (bytes) expect(bytes.equals(bytesOf(segment(number), BODY_LENGTH))).toBe(true)
        return bytes !== undefined
      }),
    )
    return whole.filter((each) => !each).length
  }

  it('lose at most the transfers of the moment, then serve everybody, each from one request per object; and cache again when it is back', async () => {
    await at.start({ ram: { size: '0B' } })
    const tmp = join(at.edge.cachePath, 'v2', 'tmp')
    await rm(tmp, { recursive: true })
    await writeFile(tmp, '')
    const broken = await brokenOf(1, 40)
    expect(await at.edge.metric('millrace_edge_broken_transfers_total')).toBe(broken)
    await at.edge.idle()
    expect(await disksIn()).toBe(0)
    for (const number of [2, 3]) {
      await crowd(number)
      expect([1, 2]).toContain(asked(number))
      await at.edge.idle()
    }
    expect((await at.edge.admin('/readyz')).status).toBe(200)
    expect(await at.edge.metric('millrace_edge_broken_transfers_total')).toBe(broken)
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
    'never answer 5xx on a disk that is full long before its budget, and cache in what there is (needs root: tmpfs)',
    async () => {
      const path = join(at.folder, 'small')
      await mkdir(path)
      await run('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=700', 'tmpfs', path])
      mounts.push(path)
      await at.start({ ram: { size: '0B' }, cache: { path, size: '64MiB', maxObject: '8MiB' } })
      const broken = []
      for (let number = 1; number <= 20; number++) {
        broken.push(await brokenOf(number, 8))
        expect(asked(number)).toBeLessThanOrEqual(2)
        await at.edge.idle()
      }
      // Of the one object that found it full, if any.
      expect(broken.filter((count) => count > 0).length).toBeLessThanOrEqual(1)
      expect(await disksIn()).toBe(1)
      expect(await get(20)).toBe('hit')
      const { entries, tmp } = await cacheFiles(path)
      expect(entries.length).toBeGreaterThan(2)
      expect(tmp).toEqual([])
    },
  )
})
