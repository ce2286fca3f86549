import { open, readFile, truncate, writeFile } from 'node:fs/promises'
import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import { BLOCK_BYTES } from '../src/cache/body.js'
import { BODY_OFFSET } from '../src/cache/entry-format.js'
import { parseEntry } from './cache-folder.js'
import { cacheFiles, segment } from './edge.js'
import { bytesOf, serveBytes } from './origin.js'
import { scene } from './scene.js'

const LENGTH = 1_700_000
const PATH = segment(1)
const BODY = bytesOf(PATH, LENGTH)

describe('a stored entry that went bad', () => {
  // Without RAM, and each block checked at each use.
  const at = scene((path) => ({ ram: { size: '0B' }, cache: { path, size: '64MiB', verify: '0s' } }))
  const store = async () => {
    at.o1.behave(serveBytes(LENGTH))
    await at.edge.get(`/o1${PATH}`)
    await at.edge.idle()
    return (await cacheFiles(at.folder)).entries[0]!
  }
  const flip = async (file: string, offset: number) => {
    const handle = await open(file, 'r+')
    const byte = Buffer.alloc(1)
    await handle.read(byte, 0, 1, offset)
    byte[0]! ^= 0x10
    await handle.write(byte, 0, 1, offset)
    await handle.close()
  }
  const repaired = async (file: string) => {
    await at.edge.idle()
    expect(parseEntry(await readFile(file)).body.equals(BODY)).toBe(true)
    const hit = await at.edge.get(`/o1${PATH}`)
    expect([hit.headers['x-cache'], hit.body.equals(BODY)]).toEqual(['hit', true])
  }

  it.each([0, 3, 6])(
    'in block %i never gives out a wrong byte: whoever has had some is cut, the next gets the whole, and it is repaired',
    async (block) => {
      const file = await store()
      await flip(file, BODY_OFFSET + block * BLOCK_BYTES + 1000)
      const first = await at.edge.get(`/o1${PATH}`).catch(() => undefined)
      if (first) expect(first.body.equals(BODY)).toBe(true)
      // The first block was checked before anybody had a byte.
      if (block === 0) expect(first?.headers['x-cache']).toBe('miss')
      if (block === 6) expect(first).toBe(undefined)
      if (!first) expect((await at.edge.get(`/o1${PATH}`)).body.equals(BODY)).toBe(true)
      await repaired(file)
      expect(await at.edge.count('checksum_failures_total')).toBe(1)
      expect(at.o1.requests.length).toBe(2)
    },
  )

  it('is no harm to a range in its good blocks, and fetched again for one in the bad', async () => {
    const file = await store()
    await flip(file, BODY_OFFSET + 3 * BLOCK_BYTES + 1000)
    const good = await at.edge.get(`/o1${PATH}`, { range: 'bytes=0-999' })
    expect([good.status, good.headers['x-cache'], good.body.equals(BODY.subarray(0, 1000))]).toEqual([206, 'hit', true])
    const at3 = 3 * BLOCK_BYTES + 5000
    const bad = await at.edge.get(`/o1${PATH}`, { range: `bytes=${at3}-${at3 + 99}` })
    expect([bad.status, bad.headers['x-cache'], bad.body.equals(BODY.subarray(at3, at3 + 100))]).toEqual([206, 'miss', true])
    expect(await at.edge.count('misses_total', { name: 'cause', value: 'damaged' })).toBe(1)
    await repaired(file)
  })

  it.each<[string, (file: string) => Promise<void>]>([
    ['in its head', (file) => flip(file, 300)],
    ['in its table of checksums', (file) => flip(file, BODY_OFFSET + LENGTH + 2)],
    ['by being cut short', (file) => truncate(file, 500_000)],
    ['by being emptied', (file) => truncate(file, 0)],
    ['by growing', async (file) => writeFile(file, Buffer.alloc(5000), { flag: 'a' })],
  ])('%s is a miss, and repaired', async (_how, spoil) => {
    const file = await store()
    // The edge has it open: it finds the damage when it opens it next.
    await at.restart()
    await spoil(file)
    const answer = await at.edge.get(`/o1${PATH}`)
    expect([answer.status, answer.headers['x-cache'], answer.body.equals(BODY)]).toEqual([200, 'miss', true])
    expect(await at.edge.count('checksum_failures_total')).toBeGreaterThan(0)
    await repaired(file)
  })

  it('gives 50 at once right bytes, for one more request to its origin', async () => {
    const file = await store()
    await flip(file, BODY_OFFSET + 10)
    const answers = await Promise.all(Array.from({ length: 50 }, () => at.edge.get(`/o1${PATH}`)))
    for (const answer of answers) expect([answer.status, answer.body.equals(BODY)]).toEqual([200, true])
    expect(at.o1.requests.length).toBe(2)
    await repaired(file)
  })

  it('is noticed also within cache.verify, because its file was written to', async () => {
    const file = await store()
    await at.restart({ cache: { path: at.folder, size: '64MiB', verify: '1h' } })
    expect((await at.edge.get(`/o1${PATH}`)).headers['x-cache']).toBe('hit')
    await flip(file, BODY_OFFSET + 10)
    const answer = await at.edge.get(`/o1${PATH}`)
    expect([answer.headers['x-cache'], answer.body.equals(BODY)]).toEqual(['miss', true])
    await until('the count', async () => (await at.edge.count('checksum_failures_total')) === 1)
  })
})
