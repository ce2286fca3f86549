import { appendFile, copyFile, mkdir, open, readdir, rename, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Disks, diskLayout, entryPath } from '../src/cache/disks.js'
import { BODY_OFFSET, tableOffset } from '../src/cache/entry-format.js'
import { DAMAGES, type Damage, fsck, isClean } from '../src/cache/fsck.js'
import { formatReport, formatReportJson } from '../src/cache/fsck-report.js'
import { emptyFolder, filesIn, openStore, pathOf } from './cache-folder.js'
import { keyOf, put, start } from './store-contract.js'

const LENGTH = 600_000

async function flip(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, at)
    byte[0] = byte[0]! ^ 1
    await file.write(byte, 0, 1, at)
  } finally {
    await file.close()
  }
}

describe('fsck', () => {
  let folder: Awaited<ReturnType<typeof emptyFolder>>
  let disks: { path: string; size: number }[]
  beforeEach(async () => {
    folder = await emptyFolder()
    disks = [{ path: folder.path, size: 64 << 20 }]
    const store = await openStore(disks)
    for (let number = 1; number <= 3; number++) await put(store, keyOf(number), Buffer.alloc(LENGTH, number))
    await store.close()
  })
  afterEach(() => folder.remove())

  const damages: [string, Damage, (path: string) => Promise<unknown>][] = [
    ['a flipped bit in the header', 'header', (path) => flip(path, 3000)],
    ['a flipped bit in the first block', 'block', (path) => flip(path, BODY_OFFSET)],
    ['a flipped bit in the last block', 'block', (path) => flip(path, BODY_OFFSET + LENGTH - 1)],
    ['a flipped bit in the table', 'table', (path) => flip(path, tableOffset(LENGTH) + 5)],
    ['a file that is cut off', 'size', (path) => truncate(path, 300_000)],
    ['a file shorter than a header', 'header', (path) => truncate(path, 100)],
    ['a file that is too long', 'size', (path) => appendFile(path, 'x')],
    ['an entry under the name of another', 'name', (path) => copyFile(pathOf(folder.path, keyOf(2)), path)],
    ['a writer that did not end', 'tmp', (path) => writeFile(join(folder.path, 'v2', 'tmp', `${path.slice(-32)}-0123456789ab`), 'part')],
    ['a file in a wrong folder', 'stray', (path) => writeFile(join(dirname(path), 'x'), 'x')],
    ['a folder that is none of the cache', 'stray', () => mkdir(join(folder.path, 'v2', 'other'))],
  ]
  it.each(damages)('finds %s as %s, deletes it, and is clean then', async (_what, damage, spoil) => {
    const path = pathOf(folder.path, keyOf(1))
    await spoil(path)
    const found = await fsck(disks)
    expect(DAMAGES.filter((kind) => found.damaged[kind] > 0)).toEqual([damage])
    expect([found.damaged[damage], found.listed.length, found.repaired]).toEqual([1, 1, 0])
    expect(formatReport(found)).toContain(`${damage}: ${found.listed[0]!.path}`)
    const repaired = await fsck(disks, { repair: true })
    expect([repaired.damaged[damage], repaired.repaired]).toEqual([1, 1])
    const after = await fsck(disks)
    expect([isClean(after), after.entries + (['tmp', 'stray'].includes(damage) ? 0 : 1)]).toEqual([true, 3])
  })

  it('finds an entry on a disk that is not its own', async () => {
    const other = await emptyFolder()
    const both = [...disks, { path: other.path, size: 64 << 20 }]
    const places = new Disks(both)
    for (let number = 1; number <= 3; number++) {
      const to = places.path(keyOf(number).hash)!
      await mkdir(dirname(to), { recursive: true })
      await rename(pathOf(folder.path, keyOf(number)), to)
    }
    expect((await fsck(both)).entries).toBe(3)
    const right = places.path(keyOf(1).hash)!
    const wrong = entryPath(diskLayout(both.find((disk) => !right.startsWith(disk.path))!.path).root, keyOf(1).hash)
    await mkdir(dirname(wrong), { recursive: true })
    await rename(right, wrong)
    expect((await fsck(both, { repair: true })).listed).toEqual([{ path: wrong, damage: 'misplaced' }])
    expect(isClean(await fsck(both))).toBe(true)
    await other.remove()
  })

  it('repairs nothing while the cache is in use, and reports on it without taking running writers for damage', async () => {
    const store = await openStore(disks)
    const writer = await start(store, keyOf(9), 3)
    await writer.write(Buffer.from('abc'))
    await expect(fsck(disks, { repair: true })).rejects.toMatchObject({ code: 'cache-in-use' })
    const report = await fsck(disks)
    expect([isClean(report), report.entries, report.inUse]).toEqual([true, 3, [folder.path]])
    await writer.discard()
    await store.close()
    expect(await readdir(join(folder.path, 'v2', 'tmp'))).toEqual([])
  })

  it('counts what is whole, for people and for programs', async () => {
    const report = await fsck(disks)
    const { bytes } = await filesIn(folder.path)
    expect(report.bytes).toBeGreaterThan(3 * LENGTH)
    expect(report.bytes).toBeLessThanOrEqual(bytes)
    expect(formatReport(report)).toMatch(/^whole entries +3\n/)
    expect(formatReport(report)).toMatch(/\nclean\n$/)
    expect(JSON.parse(formatReportJson(report))).toMatchObject({ clean: true, entries: 3, damaged: { block: 0 } })
    expect(await fsck([{ path: join(folder.path, 'v2', 'tmp'), size: 1 << 20 }])).toMatchObject({ entries: 0 })
  })
})
