import { execFile } from 'node:child_process'
import { renameSync } from 'node:fs'
import { mkdir, readdir, rename, rm, statfs, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DiskStore } from '../src/cache/disk-store.js'
import type { CacheDisk } from '../src/cache/disks.js'
import { emptyFolder, filesIn, openStore, pathOf, readEntry } from './cache-folder.js'
import { takeDescriptors, withoutDescriptors } from './descriptors.js'
import { keyOf, metaOf, put, start } from './store-contract.js'

const run = promisify(execFile)
const isRoot = process.getuid?.() === 0
const numbers = Array.from({ length: 60 }, (_, index) => index + 1)
const body = (number: number) => Buffer.alloc(50_000, number)

describe('a disk that fails', () => {
  const folders: { path: string; remove: () => Promise<void> }[] = []
  const mounts: string[] = []
  let stores: DiskStore[] = []
  let states: string[]
  let faults: string[]
  let onFault: (() => void) | undefined
  let onDisk: ((path: string, state: 'in' | 'out') => void) | undefined
  beforeEach(() => {
    onFault = undefined
    onDisk = undefined
    stores = []
    states = []
    faults = []
  })
  afterEach(async () => {
    for (const store of stores) await store.close()
    for (const mount of mounts.splice(0)) await run('umount', ['-l', mount])
    for (const folder of folders.splice(0)) await folder.remove()
  })
  const makeFolder = async () => {
    const folder = await emptyFolder()
    folders.push(folder)
    return folder.path
  }
  const mountSmall = async () => {
    const path = await makeFolder()
    await run('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=700', 'tmpfs', path])
    mounts.push(path)
    return path
  }
  const open = async (...disks: CacheDisk[]) => {
    const store = await openStore(disks, {
      restMs: 60,
      onDisk: (path, state) => {
        states.push(`${disks.findIndex((disk) => disk.path === path)} ${state}`)
        onDisk?.(path, state)
      },
      onFault: (operation, error) => {
        faults.push(`${operation} ${(error as NodeJS.ErrnoException).code}`)
        onFault?.()
      },
    })
    stores.push(store)
    await store.scanned()
    return store
  }
  const whole = async (path: string) => {
    for (const number of numbers) {
      const entry = await readEntry(path, keyOf(number)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
      })
      if (entry) expect(entry.body.equals(body(number))).toBe(true)
    }
  }

  it.skipIf(!isRoot)(
    'for want of space goes on with what it has: reads are hits, older entries make room (needs root: tmpfs)',
    async () => {
      const path = await mountSmall()
      const store = await open({ path, size: 64 << 20 })
      let failed = 0
      for (const number of numbers) await put(store, keyOf(number), body(number)).catch(() => failed++)
      // The writer that met the end of the disk failed; the ones after it had room made for them.
      expect(failed).toBe(1)
      expect(faults).toEqual(['write ENOSPC'])
      expect(states).toEqual([])
      expect(store.has(keyOf(60).hash)).toBe(true)
      expect(store.stats()[0]!.objects).toBeGreaterThan(25)
      expect((await filesIn(path)).others).toEqual([])
      await whole(path)
    },
  )

  it.skipIf(!isRoot)('for want of space that others took stores nothing, and breaks nothing (needs root: tmpfs)', async () => {
    const path = await mountSmall()
    const { bavail, bsize } = await statfs(path)
    const store = await open({ path, size: 64 << 20 })
    await writeFile(join(path, 'others'), Buffer.alloc(bavail * bsize - 20_000))
    const results = await Promise.allSettled(numbers.slice(0, 5).map((number) => put(store, keyOf(number), body(number))))
    expect(results.every(({ status }) => status === 'rejected')).toBe(true)
    expect(await store.create(keyOf(9), 50_000)).toBeUndefined()
    await rm(join(path, 'others'))
    await until('the disk is tried again', async () => {
      await put(store, keyOf(9), body(9))
      return true
    })
    await whole(path)
  })

  it.skipIf(!isRoot)('by turning read-only is taken out, rests, and is back with its entries (needs root: tmpfs)', async () => {
    const path = await mountSmall()
    const store = await open({ path, size: 1 << 20 })
    await put(store, keyOf(1), body(1))
    const writer = await start(store, keyOf(2), 50_000)
    await writer.write(body(2))
    await writer.commit(metaOf(keyOf(2), 50_000))
    await run('mount', ['-o', 'remount,ro', path])
    const broken = await start(store, keyOf(3), 50_000)
    await expect(broken.write(body(3))).rejects.toMatchObject({ code: 'EROFS' })
    expect([states, store.stats()[0]!.state, store.out()]).toEqual([['0 out'], 'out', [path]])
    expect(store.has(keyOf(1).hash)).toBe(false)
    expect(await store.look(keyOf(1))).toBeUndefined()
    expect(await store.create(keyOf(3), 1)).toBeUndefined()
    expect(store.places.path(keyOf(1).hash)).toBeUndefined()
    await until('a probe that fails', () => faults.includes('probe EROFS'))
    await run('mount', ['-o', 'remount,rw', path])
    await broken.discard()
    await until('the disk is back', () => states.includes('0 in'))
    await store.scanned()
    expect(await store.look(keyOf(1))).toMatchObject({ key: keyOf(1).text })
    await put(store, keyOf(3), body(3))
    await whole(path)
  })

  it('at the start is out, and the edge starts without it', async () => {
    const path = await makeFolder()
    await writeFile(join(path, 'file'), '')
    const good = await makeFolder()
    const store = await open({ path: join(path, 'file'), size: 1 << 20 }, { path: good, size: 1 << 20 })
    expect(states).toEqual(['0 out'])
    for (const number of numbers.slice(0, 8)) await put(store, keyOf(number), body(number))
    expect(store.stats()).toMatchObject([
      { state: 'out', objects: 0 },
      { state: 'in', objects: 8 },
    ])
    await rm(join(path, 'file'))
    await until('the disk is in', () => states.includes('0 in'))
    for (const number of numbers.slice(20, 30)) await put(store, keyOf(number), body(number))
    expect(store.stats()[0]!.objects).toBeGreaterThan(0)
  })

  it('moves its own entries to the others and no other entry, and has them back without a double', async () => {
    const disks = [
      { path: await makeFolder(), size: 16 << 20 },
      { path: await makeFolder(), size: 48 << 20 },
    ]
    const store = await open(...disks)
    for (const number of numbers) await put(store, keyOf(number), body(number))
    const counts = store.stats().map(({ objects }) => objects)
    expect(counts[0]! + counts[1]!).toBe(60)
    expect(counts[1]).toBeGreaterThan(counts[0]!)
    const first = numbers.filter((number) => store.places.path(keyOf(number).hash)!.startsWith(disks[0]!.path))
    expect(first).toHaveLength(counts[0]!)

    const away = `${disks[0]!.path}-away`
    await rename(disks[0]!.path, away)
    // Nothing but the missing folder of its writers says so.
    await expect(put(store, keyOf(first[0]!), body(first[0]!))).rejects.toMatchObject({ code: 'ENOENT' })
    expect(states).toEqual(['0 out'])
    for (const number of numbers) expect(store.has(keyOf(number).hash)).toBe(!first.includes(number))
    for (const number of first) await put(store, keyOf(number), body(number))
    expect(store.stats()[1]!.objects).toBe(60)

    await rename(away, disks[0]!.path)
    await until('the disk is in', () => states.includes('0 in'))
    await store.scanned()
    await until('no entry is on both', async () => (await filesIn(disks[1]!.path)).entries.length === counts[1])
    expect(store.stats()[1]!.objects).toBe(counts[1])
    for (const number of numbers) await put(store, keyOf(number), body(number))
    expect(store.stats().map(({ objects }) => objects)).toEqual(counts)
  })

  /** Two disks, of which the first is away, so that the second has taken in what belongs there. */
  const withFirstAway = async () => {
    const [first, second] = [await makeFolder(), await makeFolder()]
    const store = await open({ path: first, size: 64 << 20 }, { path: second, size: 64 << 20 })
    const ofFirst = numbers.filter((number) => store.places.path(keyOf(number).hash)!.startsWith(first))
    for (const number of numbers) await put(store, keyOf(number), body(number))
    const away = `${first}-away`
    await rename(first, away)
    await expect(put(store, keyOf(ofFirst[0]!), body(ofFirst[0]!))).rejects.toMatchObject({ code: 'ENOENT' })
    for (const number of ofFirst) await put(store, keyOf(number), body(number))
    return { store, first, second, away, ofFirst }
  }

  it('and is back only to fail again costs the others nothing of what they took in for it', async () => {
    const { store, first, second, away } = await withFirstAway()
    // It can be opened and written to, but not read through.
    onDisk = (_path, state) => {
      if (state === 'in') renameSync(first, away)
    }
    for (const times of [1, 2]) {
      await rename(away, first)
      await until('a return that fails', () => states.filter((state) => state === '0 out').length === times + 1)
    }
    expect(store.stats()[1]!.objects).toBe(60)
    for (const number of numbers) expect(store.has(keyOf(number).hash)).toBe(true)
    onDisk = undefined
    await rename(away, first)
    await until('no entry is on both', async () => (await filesIn(second)).entries.length + (await filesIn(first)).entries.length === 60)
  })

  it('keeps what it holds while another one comes back', async () => {
    const { store, first, second, away } = await withFirstAway()
    await rename(second, `${second}-away`)
    await until('no disk left', async () => {
      await put(store, keyOf(1), body(1)).catch(() => undefined)
      return store.out().length === 2
    })
    await rename(away, first)
    await until('the first disk is in', () => states.includes('0 in'))
    await store.scanned()
    expect(store.stats()[1]!.objects).toBe(60)
    await rename(`${second}-away`, second)
    await until('no entry is on both', async () => (await filesIn(second)).entries.length + (await filesIn(first)).entries.length === 60)
  })

  it('holds no entry that another has after a restart, either', async () => {
    const { store, first, second, away } = await withFirstAway()
    await store.close()
    stores = []
    await rename(away, first)
    await open({ path: first, size: 64 << 20 }, { path: second, size: 64 << 20 })
    await until('no entry is on both', async () => (await filesIn(second)).entries.length + (await filesIn(first)).entries.length === 60)
  })

  it('and is back while another writes an entry of it: that one does not stay', async () => {
    const { store, first, second, away, ofFirst } = await withFirstAway()
    const writer = await start(store, keyOf(ofFirst[0]!), 50_000)
    await writer.write(body(ofFirst[0]!))
    await rename(away, first)
    await until('the disk is in', () => states.includes('0 in'))
    await store.scanned()
    await until('no entry is on both', () => store.stats()[1]!.objects === 60 - ofFirst.length)
    await writer.commit(metaOf(keyOf(ofFirst[0]!), 50_000))
    await until('it is gone', async () => (await filesIn(second)).entries.length === 60 - ofFirst.length)
    expect(store.stats()[1]!.objects).toBe(60 - ofFirst.length)
  })

  it.skipIf(!isRoot)('to delete what is no entry stays in all the same (needs root: tmpfs)', async () => {
    const path = await makeFolder()
    const stray = join(path, 'v2', 'stray')
    await mkdir(stray, { recursive: true })
    await run('mount', ['-t', 'tmpfs', 'tmpfs', stray])
    mounts.push(stray)
    const store = await open({ path, size: 1 << 20 })
    expect([states, faults]).toEqual([[], ['scan EBUSY']])
    await put(store, keyOf(1), body(1))
    expect(store.has(keyOf(2).hash)).toBe(false)
  })

  it('to give its checkpoint only loses the order of use', async () => {
    const path = await makeFolder()
    const filled = await open({ path, size: 1 << 20 })
    for (const number of [1, 2]) await put(filled, keyOf(number), body(number))
    await filled.close()
    await rm(join(path, 'v2', 'index'))
    // Nothing is mapped at the beginning of this process's memory: to read there is EIO.
    await symlink('/proc/self/mem', join(path, 'v2', 'index'))
    const store = await open({ path, size: 1 << 20 })
    expect([states, faults, store.stats()[0]!.objects]).toEqual([[], ['checkpoint EIO'], 2])
    await store.close()
    const next = await open({ path, size: 1 << 20 })
    expect([faults.length, next.stats()[0]!.objects]).toEqual([1, 2])
  })

  it('is scanned again when this process had no descriptors left to do it', async () => {
    const path = await makeFolder()
    const store = await open({ path, size: 1 << 20 })
    let giveBack = () => {}
    onDisk = (_path, state) => {
      if (state === 'in') giveBack = takeDescriptors()
    }
    await rename(path, `${path}-away`)
    await expect(put(store, keyOf(1), body(1))).rejects.toMatchObject({ code: 'ENOENT' })
    await rename(`${path}-away`, path)
    await until('a scan that fails', () => faults.includes('scan EMFILE'))
    giveBack()
    // As long as it may have what was never compared, nothing can be denied.
    await until('the end of another scan', () => !store.has(keyOf(999).hash))
    expect(states).toEqual(['0 out', '0 in'])
  })

  it.skipIf(!isRoot)('in not being mounted is out until it is, and its mount point stays empty (needs root: tmpfs)', async () => {
    const path = await makeFolder()
    const store = await open({ path, size: 1 << 20, mounted: true })
    expect([states, faults]).toEqual([['0 out'], ['open disk-not-mounted']])
    await until('a probe that refuses', () => faults.includes('probe disk-not-mounted'))
    expect(await readdir(path)).toEqual([])
    await run('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', path])
    mounts.push(path)
    await until('the disk is in', () => states.includes('0 in'))
    await put(store, keyOf(1), body(1))
  })

  it('loses no entry while this process has no descriptors left to look at it', async () => {
    const store = await open({ path: await makeFolder(), size: 1 << 20 })
    await put(store, keyOf(1), body(1), { id: 'aaaaaaaaaaaaaaaa' })
    await withoutDescriptors(async () => {
      expect(await store.look(keyOf(1))).toBeUndefined()
      await store.drop(keyOf(1).hash, 'aaaaaaaaaaaaaaaa')
      await store.drop(keyOf(1).hash, 'bbbbbbbbbbbbbbbb')
    })
    expect([states, new Set(faults)]).toEqual([[], new Set(['look EMFILE'])])
    expect([store.has(keyOf(1).hash), (await store.look(keyOf(1)))?.id]).toEqual([true, 'aaaaaaaaaaaaaaaa'])
  })

  it('once, in an error that passes, loses no entry', async () => {
    const path = await makeFolder()
    const store = await open({ path, size: 1 << 20 })
    await put(store, keyOf(1), body(1), { id: 'aaaaaaaaaaaaaaaa' })
    const file = pathOf(path, keyOf(1))
    // Nothing is mapped at the beginning of this process's memory: to read there is EIO.
    await rename(file, `${path}/kept`)
    await symlink('/proc/self/mem', file)
    onFault = () => renameSync(`${path}/kept`, file)
    await store.drop(keyOf(1).hash, 'bbbbbbbbbbbbbbbb')
    expect(faults).toEqual(['look EIO'])
    expect([store.has(keyOf(1).hash), (await store.look(keyOf(1)))?.id]).toEqual([true, 'aaaaaaaaaaaaaaaa'])
  })

  it('in reading one file loses that file; in reading three, the disk is out', async () => {
    const path = await makeFolder()
    const store = await open({ path, size: 16 << 20 })
    for (const number of numbers.slice(0, 5)) await put(store, keyOf(number), body(number))
    const spoil = async (number: number) => {
      const file = pathOf(path, keyOf(number))
      await rm(file)
      await symlink(file, file)
      expect(await store.look(keyOf(number))).toBeUndefined()
    }
    await spoil(1)
    expect([states, store.has(keyOf(1).hash), store.has(keyOf(2).hash)]).toEqual([[], false, true])
    await spoil(2)
    await spoil(3)
    expect(states[0]).toBe('0 out')
    expect(faults.every((fault) => fault === 'look ELOOP')).toBe(true)
    await until('the disk is back', () => states.includes('0 in'))
    await store.scanned()
    expect((await store.look(keyOf(4)))?.length).toBe(50_000)
  })

  it.skipIf(!isRoot)('is not taken for another one: a folder whose disk is gone stays out (needs root: tmpfs)', async () => {
    const path = await makeFolder()
    await run('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', path])
    const store = await open({ path, size: 1 << 20 })
    await run('umount', ['-l', path])
    await expect(put(store, keyOf(1), body(1))).rejects.toMatchObject({ code: 'ENOENT' })
    await until('a probe that refuses', () => faults.includes('probe disk-changed'))
    expect((await filesIn(path)).entries).toEqual([])
    await mkdir(join(path, 'x'))
    expect(store.stats()[0]!.state).toBe('out')
  })
})
