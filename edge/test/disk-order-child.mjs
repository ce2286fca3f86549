import { stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { DiskStore } from '../dist/cache/disk-store.js'
import { cacheKey } from '../dist/cache/key.js'

// Fills a cache, uses it in an order that no time of a file tells, says so when a checkpoint has it, and waits to be killed. Arguments:
// folder, budget in bytes, how many keys.
const [path, size, keys] = process.argv.slice(2)
const store = await DiskStore.open({
  disks: [{ path, size: Number(size) }],
  now: Date.now,
  checkpointMs: 20,
  onGone: () => {},
  onDisk: () => {},
  onFault: (_operation, error) => {
    throw error
  },
})
await store.scanned()
for (let number = 0; number < Number(keys); number++) {
  const key = cacheKey(`/order/${number}`)
  const writer = await store.create(key, 20_000)
  await writer.write(Buffer.alloc(20_000, number))
  await writer.commit({
    id: '0123456789abcdef',
    key: key.text,
    status: 200,
    headers: [],
    length: 20_000,
    origin: 'o1',
    generation: 0,
    bornAt: 0,
    freshUntil: 1,
    staleWhileRevalidate: 0,
    staleIfError: 0,
  })
}
for (let number = Number(keys) - 1; number >= 0; number -= 3) store.used(cacheKey(`/order/${number}`).hash)

/** Each checkpoint is a file of its own. The one that is being written now may have been begun before. */
const inode = async () => (await stat(`${path}/v2/index`).catch(() => undefined))?.ino
for (let seen = await inode(), more = 2; more > 0; ) {
  await delay(5)
  const now = await inode()
  if (now !== seen) more--
  seen = now
}
process.stdout.write('used\n')
setInterval(() => {}, 1000)
