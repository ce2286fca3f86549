import { rename } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { diskLayout } from '../src/cache/disk-layout.js'
import { DiskStore } from '../src/cache/disk-store.js'
import { cacheKey } from '../src/cache/key.js'
import { cacheFiles, tempFolder } from './edge.js'
import { CONTRACT_BUDGET, storeContract } from './store-contract.js'

storeContract('DiskStore', async () => {
  const folder = await tempFolder()
  let now = 1000
  const store = await DiskStore.open({
    path: folder.path,
    maxBytes: CONTRACT_BUDGET,
    now: () => now,
    onDeleteFailed: (error) => {
      throw error
    },
  })
  return {
    store,
    advance: (ms) => {
      now += ms
    },
    close: folder.remove,
  }
})

it('does not serve an entry under another name than its own', async () => {
  const folder = await tempFolder()
  const open = () => DiskStore.open({ path: folder.path, maxBytes: CONTRACT_BUDGET, now: () => 1000, onDeleteFailed: () => {} })
  const store = await open()
  const [one, two] = [cacheKey('/files/x/r1/one.bin'), cacheKey('/files/x/r1/two.bin')]
  const writer = await store.create(one, 3)
  await writer?.write(Buffer.from('one'))
  await writer?.commit({ path: one.path, contentType: 'text/plain', length: 3, bornAt: 0, freshUntil: 9000, origin: 'o1' })
  const layout = diskLayout(folder.path)
  await rename(layout.entry(one.hash), layout.entry(two.hash))
  const again = await open()
  expect(again.mayHave(two)).toBe(true)
  expect(await again.open(two)).toBeUndefined()
  expect(again.mayHave(two)).toBe(false)
  expect((await cacheFiles(folder.path)).entries).toEqual([])
  await folder.remove()
})
