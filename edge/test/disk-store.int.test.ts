import { rename, truncate } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { diskLayout } from '../src/cache/disk-layout.js'
import { DiskStore } from '../src/cache/disk-store.js'
import { HEADER_BYTES } from '../src/cache/entry-header.js'
import { cacheKey } from '../src/cache/key.js'
import type { BodyReader } from '../src/cache/store.js'
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

it('gives up an entry whose bytes cannot be read', async () => {
  const folder = await tempFolder()
  const store = await DiskStore.open({ path: folder.path, maxBytes: CONTRACT_BUDGET, now: () => 1000, onDeleteFailed: () => {} })
  const key = cacheKey('/files/x/r1/one.bin')
  const spoilers: ((body: BodyReader) => Promise<void>)[] = [
    () => truncate(diskLayout(folder.path).entry(key.hash), HEADER_BYTES),
    (body) => body.close(),
  ]
  for (const spoil of spoilers) {
    const writer = await store.create(key, 3)
    await writer?.write(Buffer.from('one'))
    await writer?.commit({ path: key.path, contentType: 'text/plain', length: 3, bornAt: 0, freshUntil: 9000, origin: 'o1' })
    const { body } = (await store.open(key))!
    await spoil(body)
    await expect(body.read(Buffer.alloc(3), 0)).rejects.toMatchObject({ code: 'body-broken', source: 'disk' })
    expect([store.mayHave(key), store.stats().bytes]).toEqual([false, 0])
    await body.close()
  }
  await folder.remove()
})
