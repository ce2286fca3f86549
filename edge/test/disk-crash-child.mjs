import { randomBytes } from 'node:crypto'
import { DiskStore } from '../dist/cache/disk-store.js'
import { cacheKey } from '../dist/cache/key.js'

// Fills a cache until it is killed. Arguments: folder, budget in bytes, how many keys, the first round.
const [path, size, keys, first] = process.argv.slice(2)
const store = await DiskStore.open({
  disks: [{ path, size: Number(size) }],
  now: Date.now,
  checkpointMs: 15,
  onGone: () => {},
  onDisk: () => {},
  onFault: (_operation, error) => {
    throw error
  },
})

/** A body says by itself which entry's it is; its length follows from the key. */
async function fill(number, round) {
  const key = cacheKey(`/crash/${number}`)
  const length = 1000 + ((number * 7919) % 300_000)
  const id = randomBytes(8).toString('hex')
  const writer = await store.create(key, round % 3 === 0 ? undefined : length)
  if (!writer) return
  const body = Buffer.alloc(length, id)
  for (let at = 0; at < length; at += 65_536) await writer.write(body.subarray(at, at + 65_536))
  if (number % 11 === 0) return writer.discard()
  const meta = {
    id,
    key: key.text,
    status: 200,
    headers: [],
    length,
    origin: 'o1',
    generation: round,
    bornAt: 0,
    freshUntil: 1,
    staleWhileRevalidate: 0,
    staleIfError: 0,
  }
  await writer.commit(meta)
  if (number % 5 === 0) await store.rewrite(key, { ...meta, freshUntil: 2 })
  process.stdout.write(`${number}\n`)
}

const lanes = Array.from({ length: 8 }, async (_, lane) => {
  for (let round = Number(first); ; round++) {
    for (let number = lane; number < Number(keys); number += 8) await fill(number, round)
  }
})
await Promise.all(lanes)
