import { appendFile, copyFile, mkdir, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DiskStore } from '../src/cache/disk-store.js'
import { emptyFolder, filesIn, openStore, pathOf, readEntry } from './cache-folder.js'
import { CONTRACT_BUDGET, keyOf, metaOf, put, start, storeContract } from './store-contract.js'

storeContract('DiskStore', async () => {
  const folder = await emptyFolder()
  let gone: string[] = []
  const store = await openStore([{ path: folder.path, size: CONTRACT_BUDGET }], { onGone: (hashes) => gone.push(...hashes) })
  await store.scanned()
  return {
    store,
    body: async (key) => (await readEntry(folder.path, key)).body,
    gone: async () => {
      await new Promise((resolve) => setImmediate(resolve))
      const told = gone
      gone = []
      return told
    },
    close: async () => {
      await store.close()
      await folder.remove()
    },
  }
})

describe('a cache folder', () => {
  let folder: Awaited<ReturnType<typeof emptyFolder>>
  let store: DiskStore | undefined
  beforeEach(async () => {
    folder = await emptyFolder()
  })
  afterEach(async () => {
    await store?.close()
    store = undefined
    await folder.remove()
  })
  const open = async (size = 64 << 20, more = {}) => {
    store = await openStore([{ path: folder.path, size }], more)
    return store
  }
  const reopen = async (size?: number) => {
    await store?.close()
    return open(size)
  }
  const body = (number: number) => Buffer.alloc(20_000, number)
  const fill = async (count: number) => {
    const filled = await open()
    for (let number = 1; number <= count; number++) await put(filled, keyOf(number), body(number))
    return filled
  }

  it('is refused to a second process, and free again when the first has closed it', async () => {
    const first = await open()
    await expect(openStore([{ path: folder.path, size: 1 << 20 }])).rejects.toMatchObject({ code: 'cache-in-use' })
    await first.close()
    await open()
  })

  it.each([
    ['is cut off', (path: string) => truncate(path, 10_000)],
    ['is too long', (path: string) => appendFile(path, 'x')],
    ['has a damaged header', (path: string) => writeFile(path, 'X', { flag: 'r+' })],
    ['is of another key', (path: string) => copyFile(pathOf(folder.path, keyOf(2)), path)],
    ['is gone', (path: string) => rm(path)],
  ])('gives no entry whose file %s, and drops it', async (_what, spoil) => {
    const filled = await fill(2)
    await filled.scanned()
    await spoil(pathOf(folder.path, keyOf(1)))
    expect(filled.has(keyOf(1).hash)).toBe(true)
    expect(await filled.look(keyOf(1))).toBeUndefined()
    expect(filled.has(keyOf(1).hash)).toBe(false)
    expect((await filesIn(folder.path)).entries).toEqual([pathOf(folder.path, keyOf(2))])
  })

  it('is freed of what is no entry of it: writers of a dead process, other files, the format before', async () => {
    await (await fill(1)).close()
    const root = join(folder.path, 'v2')
    await writeFile(join(root, 'tmp', `${keyOf(9).hash}-0123456789ab`), 'part')
    await writeFile(join(root, 'stray'), 'x')
    await mkdir(join(root, 'zz'))
    await writeFile(join(root, keyOf(1).hash.slice(0, 2), 'stray'), 'x')
    await copyFile(pathOf(folder.path, keyOf(1)), join(root, keyOf(1).hash.slice(0, 2), keyOf(9).hash))
    await mkdir(join(folder.path, 'v1', '00'), { recursive: true })
    await writeFile(join(folder.path, 'v1', '00', 'old'), 'x')
    await writeFile(join(folder.path, 'mine'), 'not in its tree')
    await (await open()).scanned()
    expect(await filesIn(folder.path)).toMatchObject({ entries: [pathOf(folder.path, keyOf(1))], others: [join(folder.path, 'mine')] })
  })

  it('keeps running writers while it is scanned', async () => {
    const scanning = await open()
    const writer = await start(scanning, keyOf(1), 3)
    await writer.write(Buffer.from('abc'))
    await scanning.scanned()
    await writer.commit(metaOf(keyOf(1), 3))
    expect((await readEntry(folder.path, keyOf(1))).body.toString()).toBe('abc')
  })

  it('forgets entries of the checkpoint whose file is gone, and takes in files that it does not know', async () => {
    const filled = await fill(3)
    await filled.close()
    await rm(pathOf(folder.path, keyOf(1)))
    await rename(join(folder.path, 'v2', 'index'), join(folder.path, 'kept'))
    const again = await open()
    await again.scanned()
    await put(again, keyOf(4), body(4))
    await again.close()
    await rename(join(folder.path, 'kept'), join(folder.path, 'v2', 'index'))
    const last = await open()
    expect(last.stats()[0]).toMatchObject({ objects: 3 })
    await last.scanned()
    expect([1, 2, 3, 4].map((number) => last.has(keyOf(number).hash))).toEqual([false, true, true, true])
    expect(last.stats()[0]!.bytes).toBe((await filesIn(folder.path)).bytes)
  })

  it.each([
    ['torn', (path: string) => truncate(path, 20)],
    ['damaged', (path: string) => writeFile(path, 'MRINDEX1X', { flag: 'r+' })],
    ['missing', (path: string) => rm(path)],
  ])('takes the order from the times of the files when the checkpoint is %s, and denies nothing meanwhile', async (_what, spoil) => {
    await (await fill(4)).close()
    for (let number = 1; number <= 4; number++) await utimes(pathOf(folder.path, keyOf(number)), 1, 1_700_000_000 - number * 100)
    await spoil(join(folder.path, 'v2', 'index'))
    const again = await open()
    expect(again.stats()[0]!.objects).toBe(0)
    expect(again.has(keyOf(3).hash)).toBe(true)
    expect((await again.look(keyOf(1)))?.length).toBe(20_000)
    await again.scanned()
    expect(again.stats()[0]!.objects).toBe(4)
    const small = await reopen(1 << 16)
    await small.scanned()
    expect([1, 2, 3, 4].map((number) => small.has(keyOf(number).hash))).toEqual([true, true, false, false])
  })

  it('keeps what was used or came in before the first scan was over, when the times of the files give the order', async () => {
    await (await fill(4)).close()
    for (let number = 1; number <= 4; number++) await utimes(pathOf(folder.path, keyOf(number)), 1, 1_700_000_000 - number * 100)
    await rm(join(folder.path, 'v2', 'index'))
    const again = await open()
    again.used(keyOf(4).hash)
    expect((await again.look(keyOf(3)))?.length).toBe(20_000)
    await again.scanned()
    const small = await reopen(1 << 16)
    await small.scanned()
    expect([1, 2, 3, 4].map((number) => small.has(keyOf(number).hash))).toEqual([false, false, true, true])
  })

  it('counts an entry that was replaced after the last checkpoint as large as it is', async () => {
    await (await fill(3)).close()
    const [index, kept] = [join(folder.path, 'v2', 'index'), join(folder.path, 'kept')]
    await rename(index, kept)
    const killed = await open()
    await killed.scanned()
    await put(killed, keyOf(2), Buffer.alloc(200_000, 2))
    await killed.close()
    await rename(kept, index)
    const again = await open()
    await again.scanned()
    expect(again.stats()[0]!.bytes).toBe((await filesIn(folder.path)).bytes)
    // It counts as used when it came in.
    const small = await reopen(240_000)
    await small.scanned()
    expect([1, 2, 3].map((number) => small.has(keyOf(number).hash))).toEqual([false, true, true])
  })

  it('counts an entry as large as it is, also when it is looked at while it is replaced', async () => {
    const store = await open()
    await store.scanned()
    for (let round = 0; round < 100; round++) {
      const length = round % 2 === 0 ? 1000 : 100_000
      const replaced = put(store, keyOf(1), Buffer.alloc(length))
      let more = true
      const looking = async () => {
        while (more) {
          await store.look(keyOf(1))
          await new Promise((resolve) => setImmediate(resolve))
        }
      }
      const looked = Promise.all([looking(), looking(), looking()])
      await replaced.finally(() => {
        more = false
      })
      await looked
      expect(store.stats()[0]!.bytes).toBe((await filesIn(folder.path)).bytes)
    }
  })

  it('keeps its order of use over a restart, and evicts down to a smaller budget', async () => {
    const filled = await fill(10)
    filled.used(keyOf(1).hash)
    const again = await reopen(5 * 28_672)
    expect(again.stats()[0]!.objects).toBe(5)
    await again.scanned()
    expect(Array.from({ length: 10 }, (_, index) => again.has(keyOf(index + 1).hash))).toEqual([
      true,
      false,
      false,
      false,
      false,
      false,
      true,
      true,
      true,
      true,
    ])
    await until('the files of the victims are gone', async () => (await filesIn(folder.path)).bytes <= 5 * 28_672)
  })

  it('writes its checkpoint while it runs', async () => {
    const running = await open(64 << 20, { checkpointMs: 20 })
    await running.scanned()
    await put(running, keyOf(1), body(1))
    const copy = join(folder.path, 'copy')
    await until('a checkpoint with the entry', async () => {
      await copyFile(join(folder.path, 'v2', 'index'), copy)
      return (await filesIn(folder.path)).others.includes(copy) && (await stat(copy)).size === 36
    })
  })

  it('writes a checkpoint and is scanned at one time without one taking the file of the other', async () => {
    await (await fill(30)).close()
    for (let round = 0; round < 20; round++) {
      const busy = await open(64 << 20, { checkpointMs: 1 })
      await busy.scanned()
      await busy.close()
    }
    expect((await open()).stats()[0]!.objects).toBe(30)
  })

  it('can be read by its owner alone', async () => {
    await fill(1)
    const modes = await Promise.all(
      [
        join(folder.path, 'v2'),
        join(folder.path, 'v2', 'tmp'),
        join(pathOf(folder.path, keyOf(1)), '..'),
        pathOf(folder.path, keyOf(1)),
      ].map(async (path) => ((await stat(path)).mode & 0o777).toString(8)),
    )
    expect(modes).toEqual(['700', '700', '700', '600'])
  })
})
