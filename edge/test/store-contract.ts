import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { EntryMeta } from '../src/cache/entry-header.js'
import { type CacheKey, cacheKey } from '../src/cache/key.js'
import type { BodyReader, CacheStore } from '../src/cache/store.js'

export interface StoreUnderTest {
  store: CacheStore
  /** Moves the store's clock. */
  advance: (ms: number) => void
  close: () => Promise<void>
}

export const CONTRACT_BUDGET = 1 << 20

/** What every store does, wherever it keeps its bytes. `make` gives an empty one with `CONTRACT_BUDGET`. */
export function storeContract(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(`${name} as a cache store`, () => {
    let under: StoreUnderTest
    let store: CacheStore
    beforeEach(async () => {
      under = await make()
      store = under.store
    })
    afterEach(() => under.close())

    const key = (number: number) => cacheKey(`/files/x/r1/${number}.bin`)
    const metaOf = (of: CacheKey, length: number): EntryMeta => ({
      path: of.path,
      contentType: 'video/mp4',
      etag: '"e"',
      length,
      bornAt: 0,
      freshUntil: 60_000,
      origin: 'o1',
    })
    const put = async (of: CacheKey, body: Buffer, told: number | undefined = body.length) => {
      const writer = await store.create(of, told)
      if (!writer) throw new Error('no room')
      await writer.write(body.subarray(0, 10))
      await writer.write(body.subarray(10))
      await writer.commit(metaOf(of, body.length))
    }

    it('knows nothing of what was discarded', async () => {
      const writer = await store.create(key(1), 100)
      await writer?.write(Buffer.alloc(50))
      await writer?.discard()
      expect(store.mayHave(key(1))).toBe(false)
      expect(await store.open(key(1))).toBeUndefined()
      expect(store.stats()).toMatchObject({ objects: 0, bytes: 0 })
    })

    it('refuses to commit a body that is not as long as its meta says', async () => {
      const writer = await store.create(key(1), 100)
      await writer?.write(Buffer.alloc(50))
      await expect(writer?.commit(metaOf(key(1), 100))).rejects.toThrow(RangeError)
      expect(store.mayHave(key(1))).toBe(false)
      expect(store.stats()).toMatchObject({ objects: 0, bytes: 0 })
    })

    it('shows an entry only when it is committed, and then whole', async () => {
      const body = Buffer.from('0123456789abcdefghij')
      const writer = await store.create(key(1), body.length)
      await writer?.write(body)
      expect(store.mayHave(key(1))).toBe(false)
      await writer?.commit(metaOf(key(1), body.length))
      expect(store.mayHave(key(1))).toBe(true)
      const entry = await store.open(key(1))
      expect(entry?.meta).toEqual(metaOf(key(1), body.length))
      expect((await readAll(entry!.body)).equals(body)).toBe(true)
      expect(store.mayHave(key(2))).toBe(false)
    })

    it('takes a body of unknown length, larger than its first reservation', async () => {
      const body = Buffer.alloc(700_000, 7)
      await put(key(1), body, undefined)
      expect((await readAll((await store.open(key(1)))!.body)).equals(body)).toBe(true)
    })

    it('puts the newer entry in the place of the older, whose readers keep their bytes', async () => {
      await put(key(1), Buffer.from('the older body'))
      const older = await store.open(key(1))
      await put(key(1), Buffer.from('the newer one!'))
      expect((await readAll((await store.open(key(1)))!.body)).toString()).toBe('the newer one!')
      expect((await readAll(older!.body)).toString()).toBe('the older body')
      expect(store.stats().objects).toBe(1)
    })

    it('gives no entry whose lifetime has ended, and knows so at once from then on', async () => {
      await put(key(1), Buffer.from('0123456789ab'))
      under.advance(60_001)
      expect(await store.open(key(1))).toBeUndefined()
      expect(store.mayHave(key(1))).toBe(false)
    })

    it('evicts the least recently used and stays within its budget', async () => {
      for (let number = 1; number <= 3; number++) await put(key(number), Buffer.alloc(300_000, number))
      await (await store.open(key(1)))?.body.close()
      await put(key(4), Buffer.alloc(300_000, 4))
      expect([1, 2, 3, 4].map((number) => store.mayHave(key(number)))).toEqual([true, false, true, true])
      expect(store.stats().bytes).toBeLessThanOrEqual(CONTRACT_BUDGET)
      expect(store.stats().evictedBytes).toBeGreaterThanOrEqual(300_000)
    })

    it('lets a reader finish an entry that is evicted meanwhile', async () => {
      await put(key(1), Buffer.alloc(300_000, 1))
      const entry = await store.open(key(1))
      for (let number = 2; number <= 5; number++) await put(key(number), Buffer.alloc(300_000, number))
      expect(store.mayHave(key(1))).toBe(false)
      expect((await readAll(entry!.body)).equals(Buffer.alloc(300_000, 1))).toBe(true)
    })

    it('makes no room for more than its budget', async () => {
      expect(await store.create(key(1), CONTRACT_BUDGET)).toBeUndefined()
      const running = await store.create(key(2), 600_000)
      expect(await store.create(key(3), 600_000)).toBeUndefined()
      await running?.discard()
      const after = await store.create(key(3), 600_000)
      expect(after).toBeDefined()
      await after?.discard()
      expect(store.stats().bytes).toBe(0)
    })
  })
}

async function readAll(body: BodyReader): Promise<Buffer> {
  const parts: Buffer[] = []
  const buffer = Buffer.alloc(100_000)
  let at = 0
  for (let read = await body.read(buffer, at); read > 0; read = await body.read(buffer, at)) {
    parts.push(Buffer.from(buffer.subarray(0, read)))
    at += read
  }
  await body.close()
  return Buffer.concat(parts)
}
