import { type FileHandle, mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { writeCheckpoint } from '../src/cache/checkpoint.js'
import { diskLayout } from '../src/cache/disks.js'
import { probeFile } from '../src/cache/entry-file.js'
import { DiskIndex, toIndexKey } from '../src/cache/index.js'
import { emptyFolder } from './cache-folder.js'
import { keyOf } from './store-contract.js'

// Whether bytes are on the disk itself shows in nothing but a power cut: the calls are watched instead.

let folder: Awaited<ReturnType<typeof emptyFolder>>
/** Called before each datasync. */
let onSync: () => Promise<void>
beforeEach(async () => {
  folder = await emptyFolder()
  const file = await open(join(folder.path, 'any'), 'w')
  const handles: FileHandle = Object.getPrototypeOf(file)
  await file.close()
  const { datasync } = handles
  vi.spyOn(handles, 'datasync').mockImplementation(async function (this: FileHandle) {
    await onSync()
    return datasync.call(this)
  })
})
afterEach(async () => {
  vi.restoreAllMocks()
  await folder.remove()
})

it('a checkpoint is whole on the disk before it has its name', async () => {
  const layout = diskLayout(folder.path)
  await mkdir(layout.tmp, { recursive: true })
  await writeFile(layout.index, 'the older one')
  const index = new DiskIndex(1000, () => {})
  index.add(toIndexKey(keyOf(1).hash), 5)
  const seen: [string, number][] = []
  onSync = async () => void seen.push([await readFile(layout.index, 'utf8'), (await readFile(join(layout.tmp, 'index'))).length])
  await writeCheckpoint(layout, index, join(layout.tmp, 'index'))
  expect(seen).toEqual([['the older one', 36]])
  expect((await readFile(layout.index)).length).toBe(36)
})

it('a probe writes to the disk itself', async () => {
  const path = join(folder.path, 'probe')
  const seen: string[] = []
  onSync = async () => void seen.push(await readFile(path, 'utf8'))
  await probeFile(path)
  expect(seen).toEqual(['probe'])
})
