import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadCheckpoint, writeCheckpoint } from '../src/cache/checkpoint.js'
import { diskLayout, entryPath } from '../src/cache/disks.js'
import { encodeEntry } from '../src/cache/entry-format.js'
import { DiskIndex, toHash, toIndexKey } from '../src/cache/index.js'
import { cacheKey } from '../src/cache/key.js'
import { emptyFolder, openStore } from './cache-folder.js'
import { metaOf } from './store-contract.js'

const ENTRIES = 100_000
const hashOf = (number: number) => cacheKey(`/many/${number}`).hash

/** Bytes of the heap that are in use. */
function heapUsed(): number {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  collect()
  return process.memoryUsage().heapUsed
}

describe('an index of 100,000 entries', () => {
  let folder: Awaited<ReturnType<typeof emptyFolder>>
  beforeEach(async () => {
    folder = await emptyFolder()
  })
  afterEach(() => folder.remove())

  it('is written and read in order, without holding up the process, and takes less than 160 bytes of memory for each', async () => {
    const layout = diskLayout(folder.path)
    await mkdir(layout.tmp, { recursive: true })
    const before = heapUsed()
    const index = new DiskIndex(2 ** 30, () => {})
    for (let number = 0; number < ENTRIES; number++) index.add(toIndexKey(hashOf(number)), 2 + (number % 50))
    expect((heapUsed() - before) / ENTRIES).toBeLessThan(160)
    index.touch(toIndexKey(hashOf(7)))

    // Other processes of this machine delay it too: the bound is generous, a write in one go takes longer still with a million.
    const delay = monitorEventLoopDelay({ resolution: 5 })
    delay.enable()
    await writeCheckpoint(layout, index, join(layout.tmp, 'index'))
    delay.disable()
    expect(delay.percentile(90) / 1e6).toBeLessThan(60)

    const again = new DiskIndex(2 ** 30, () => {})
    const started = performance.now()
    expect(await loadCheckpoint(layout, again)).toBeGreaterThan(0)
    expect(performance.now() - started).toBeLessThan(5000)
    expect([again.objects, again.blocks]).toEqual([index.objects, index.blocks])
    const order: string[] = []
    again.walk((key) => order.push(key)).next(ENTRIES + 1)
    expect([toHash(order[0]!), toHash(order[7]!), toHash(order.at(-1)!)]).toEqual([hashOf(0), hashOf(8), hashOf(7)])
    expect(await readdir(layout.tmp)).toEqual([])
  })

  it.skipIf(!process.env.MILLRACE_LARGE_TESTS)(
    'finds 100,000 files without a checkpoint, answers meanwhile, and starts at once the next time (MILLRACE_LARGE_TESTS)',
    async () => {
      const { root } = diskLayout(folder.path)
      for (let shard = 0; shard < 256; shard++) await mkdir(join(root, shard.toString(16).padStart(2, '0')), { recursive: true })
      for (let number = 0; number < ENTRIES; number += 100) {
        await Promise.all(
          Array.from({ length: 100 }, (_, index) => {
            const key = cacheKey(`/many/${number + index}`)
            return writeFile(entryPath(root, key.hash), encodeEntry(metaOf(key, 100), Buffer.alloc(100)))
          }),
        )
      }
      const disks = [{ path: folder.path, size: 2 ** 40 }]
      const store = await openStore(disks)
      expect(store.stats()[0]!.objects).toBe(0)
      expect((await store.look(cacheKey('/many/5')))?.length).toBe(100)
      await store.scanned()
      expect(store.stats()[0]!.objects).toBe(ENTRIES)
      await store.close()
      const started = performance.now()
      const again = await openStore(disks)
      expect(performance.now() - started).toBeLessThan(2000)
      expect(again.stats()[0]!.objects).toBe(ENTRIES)
      await again.close()
    },
    300_000,
  )
})
