import { execFile } from 'node:child_process'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { until } from '@millrace/common/testing/until'
import { afterEach, describe, expect, it } from 'vitest'
import { cacheKey } from '../src/cache/key.js'
import { cacheFiles, segment, VIDEO } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes } from './origin.js'
import { scene } from './scene.js'

const run = promisify(execFile)
const isRoot = process.getuid?.() === 0
const numbers = Array.from({ length: 20 }, (_, index) => index + 1)

describe('an edge whose cache disk fails', () => {
  const at = scene((path) => ({ ram: { size: '0B' }, cache: { disks: [{ path: join(path, 'a'), size: '64MiB' }] } }))
  const two = (path: string) => ({ cache: { disks: ['a', 'b'].map((name) => ({ path: join(path, name), size: '64MiB' })) } })
  const mounts: string[] = []
  afterEach(async () => {
    for (const mount of mounts.splice(0)) await run('umount', ['-l', mount])
  })
  /** Asks for a segment; whatever the disk does, its bytes are right. @returns the phase */
  const ask = async (number: number) => {
    const { status, headers, body } = await at.edge.get(`/o1${segment(number)}`)
    expect([status, body.equals(bytesOf(segment(number), BODY_LENGTH))]).toEqual([200, true])
    return headers['x-cache']
  }
  const faults = (operation: string) => at.edge.count('cache_faults_total', { name: 'operation', value: operation })
  const disksIn = () => at.edge.count('cache_disk_in')
  const mountSmall = async (size = '2m') => {
    const path = join(at.folder, 'small')
    await mkdir(path)
    await run('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'tmpfs', path])
    mounts.push(path)
    return path
  }

  it('serves everybody from one request per object when it takes nothing, says so in its metrics, and stays ready', async () => {
    await rm(join(at.folder, 'a', 'v2', 'tmp'), { recursive: true })
    await writeFile(join(at.folder, 'a', 'v2', 'tmp'), '')
    for (const number of [1, 2, 1]) {
      const before = at.o1.requests.length
      const phases = await Promise.all(Array.from({ length: 20 }, () => ask(number)))
      expect(phases.filter((phase) => phase === 'miss').length).toBe(1)
      expect(phases.filter((phase) => phase === 'coalesced').length).toBe(19)
      expect(at.o1.requests.length).toBe(before + 1)
      await at.edge.idle()
    }
    expect([await faults('create'), await disksIn()]).toEqual([1, 0])
    expect(await at.edge.count('fills_total', { name: 'outcome', value: 'not-stored' })).toBe(3)
    expect((await at.edge.admin('/readyz')).status).toBe(200)
  })

  it('starts without it, and serves', async () => {
    await at.edge.stop()
    await rm(join(at.folder, 'a'), { recursive: true })
    await writeFile(join(at.folder, 'a'), '')
    await at.restart()
    for (const number of [1, 2]) expect(await ask(number)).toBe('miss')
    expect([await disksIn(), (await faults('open')) > 0]).toEqual([0, true])
  })

  it.each<[string, (file: string) => Promise<unknown>]>([
    ['opened', (file) => symlink(file, file)],
    ['read', (file) => mkdir(file)],
  ])('goes past an entry that cannot be %s, and repairs it', async (_what, spoil) => {
    await ask(1)
    await at.edge.idle()
    const [file] = (await cacheFiles(join(at.folder, 'a'))).entries
    await at.restart()
    await rm(file!)
    await spoil(file!)
    expect(await ask(1)).toBe('miss')
    await at.edge.idle()
    expect(await ask(1)).toBe('hit')
  })

  it('goes on with the other one of two: entries of that one stay hits, and all are hits again when the first is back', async () => {
    await at.restart(two(at.folder))
    for (const number of numbers) await ask(number)
    await at.edge.idle()
    const lost = (await cacheFiles(join(at.folder, 'a'))).entries.length
    expect(lost).toBeGreaterThan(2)
    expect(lost).toBeLessThan(18)
    await rename(join(at.folder, 'a'), join(at.folder, 'away'))
    const phases = []
    for (const number of numbers) phases.push(await ask(number))
    await at.edge.idle()
    // Open files of the lost disk may be hits as long as nobody has noticed.
    expect(phases.filter((phase) => phase === 'hit').length).toBeGreaterThanOrEqual(numbers.length - lost)
    await until('a fill that meets the lost disk', async () => {
      await ask(100 + Math.floor(Math.random() * 1e6))
      return (await disksIn()) === 1
    })
    for (const number of numbers) await ask(number)
    await at.edge.idle()
    for (const number of numbers) expect(await ask(number)).toBe('hit')
    expect((await cacheFiles(join(at.folder, 'b'))).entries.length).toBeGreaterThanOrEqual(numbers.length)
    await rename(join(at.folder, 'away'), join(at.folder, 'a'))
    await until('the disk to be back', async () => (await disksIn()) === 2)
    for (const number of numbers) expect(await ask(number)).toBe('hit')
  })

  it('takes over the purges that only a disk knows of which it had to start without, before that one is used', async () => {
    const [a, b] = [join(at.folder, 'a'), join(at.folder, 'b')]
    await at.restart(two(at.folder))
    for (const number of numbers) await ask(number)
    await at.edge.idle()
    const onB = (await cacheFiles(b)).entries.map((path) => path.slice(-32))
    const number = numbers.find((one) => onB.includes(cacheKey(segment(one)).hash))!
    await rename(b, `${b}-away`)
    await until('a fill that meets the lost disk', async () => {
      await ask(100 + Math.floor(Math.random() * 1e6))
      return (await disksIn()) === 1
    })
    await at.purge({ scope: 'revision', videoId: VIDEO, rev: 'r1' })
    await at.edge.stop()
    await rename(`${b}-away`, b)
    await rename(a, `${a}-away`)
    await writeFile(a, '')
    await at.restart(two(at.folder))
    // The disk that is left missed the purge.
    expect(await ask(number)).toBe('hit')
    await rm(a)
    await rename(`${a}-away`, a)
    await until('the disk to be back', async () => (await disksIn()) === 2)
    expect(await ask(number)).toBe('miss')
    expect(await at.edge.count('misses_total', { name: 'cause', value: 'purged' })).toBe(1)
  })

  it.skipIf(!isRoot)('serves on from a disk that turned read-only, and from its origins (needs root: tmpfs)', async () => {
    const path = await mountSmall('16m')
    await at.restart({ cache: { disks: [{ path, size: '8MiB' }], maxObject: '4MiB' } })
    for (const number of [1, 2]) await ask(number)
    await at.edge.idle()
    await run('mount', ['-o', 'remount,ro', path])
    const phases = await Promise.all(Array.from({ length: 10 }, () => ask(3)))
    expect(phases.filter((phase) => phase === 'miss').length).toBe(1)
    for (const number of [1, 2, 4]) await ask(number)
    expect([await disksIn(), await at.edge.count('broken_transfers_total')]).toEqual([0, 0])
    expect((await faults('create')) + (await faults('write'))).toBeGreaterThan(0)
    await run('mount', ['-o', 'remount,rw', path])
    await until('the disk to be back', async () => (await disksIn()) === 1)
    for (const number of [1, 2]) expect(await ask(number)).toBe('hit')
  })

  it.skipIf(!isRoot)(
    'breaks no transfer on a disk that is full long before its budget, and caches in what there is (needs root: tmpfs)',
    async () => {
      const path = await mountSmall('2m')
      await at.restart({ cache: { disks: [{ path, size: '64MiB' }] } })
      at.o1.behave(serveBytes())
      for (const number of numbers) {
        const phases = await Promise.all(Array.from({ length: 4 }, () => ask(number)))
        expect(phases.filter((phase) => phase === 'miss').length).toBe(1)
        await at.edge.idle()
      }
      expect([await faults('write'), await disksIn(), await at.edge.count('broken_transfers_total')]).toEqual([1, 1, 0])
      expect(await ask(20)).toBe('hit')
      const { entries, tmp } = await cacheFiles(path)
      expect(entries.length).toBeGreaterThan(2)
      expect(tmp).toEqual([])
    },
  )
})
