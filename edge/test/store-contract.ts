import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BODY_OFFSET } from '../src/cache/entry-format.js'
import type { EntryMeta } from '../src/cache/entry-meta.js'
import { type CacheKey, cacheKey } from '../src/cache/key.js'
import type { CacheStore, EntryWriter } from '../src/cache/store.js'

export interface StoreUnderTest {
  store: CacheStore
  /** An entry's body as it is stored now. */
  body: (key: CacheKey) => Promise<Buffer>
  /** Hashes that were told gone since the last call. */
  gone: () => Promise<string[]>
  close: () => Promise<void>
}

export const CONTRACT_BUDGET = 1 << 20

export function keyOf(number: number): CacheKey {
  return cacheKey(`/files/x/r1/${number}.bin`)
}

export function metaOf(key: CacheKey, length: number, more: Partial<EntryMeta> = {}): EntryMeta {
  return {
    id: '0123456789abcdef',
    key: key.text,
    status: 200,
    headers: [['content-type', 'video/mp4']],
    length,
    origin: 'o1',
    generation: 0,
    bornAt: 0,
    freshUntil: 60_000,
    staleWhileRevalidate: 0,
    staleIfError: 0,
    ...more,
  }
}

/** @throws when the store makes no room */
export async function start(store: CacheStore, key: CacheKey, length: number | undefined): Promise<EntryWriter> {
  const writer = await store.create(key, length)
  if (!writer) throw new Error('no room')
  return writer
}

export async function put(store: CacheStore, key: CacheKey, body: Buffer, more: Partial<EntryMeta> = {}): Promise<void> {
  const writer = await start(store, key, body.length)
  try {
    await writer.write(body.subarray(0, 10))
    await writer.write(body.subarray(10))
  } catch (error) {
    await writer.discard()
    throw error
  }
  await writer.commit(metaOf(key, body.length, more))
}

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
    const totals = () => {
      const { objects, bytes } = store.stats()[0]!
      return { objects, bytes }
    }
    const has = (number: number) => store.has(keyOf(number).hash)

    it('knows nothing of what was discarded', async () => {
      const writer = await start(store, keyOf(1), 100)
      await writer.write(Buffer.alloc(50))
      await writer.discard()
      expect(has(1)).toBe(false)
      expect(await store.look(keyOf(1))).toBeUndefined()
      expect(totals()).toEqual({ objects: 0, bytes: 0 })
    })

    it('refuses to commit a body that is not as long as its meta says', async () => {
      const writer = await start(store, keyOf(1), 100)
      await writer.write(Buffer.alloc(50))
      await expect(writer.commit(metaOf(keyOf(1), 100))).rejects.toThrow(RangeError)
      expect(has(1)).toBe(false)
      expect(totals()).toEqual({ objects: 0, bytes: 0 })
    })

    it('refuses a head that is larger than its block, and leaves nothing behind', async () => {
      const writer = await start(store, keyOf(1), 1)
      await writer.write(Buffer.alloc(1))
      const headers: [string, string][] = Array.from({ length: 3 }, (_, index) => [`x-${index}`, 'v'.repeat(2000)])
      await expect(writer.commit(metaOf(keyOf(1), 1, { headers }))).rejects.toMatchObject({ code: 'head-too-large' })
      expect(totals()).toEqual({ objects: 0, bytes: 0 })
    })

    it('makes no room for more than its budget', async () => {
      expect(await store.create(keyOf(1), CONTRACT_BUDGET)).toBeUndefined()
      const running = await start(store, keyOf(2), 600_000)
      expect(await store.create(keyOf(3), 600_000)).toBeUndefined()
      await running.discard()
      const after = await start(store, keyOf(3), 600_000)
      await after.discard()
      expect(totals().bytes).toBe(0)
    })

    it('breaks off a body of unknown length that outgrows all room', async () => {
      const writer = await start(store, keyOf(1), undefined)
      const writing = async () => {
        for (let chunk = 0; chunk < 20; chunk++) await writer.write(Buffer.alloc(100_000))
      }
      await expect(writing()).rejects.toMatchObject({ code: 'no-room' })
      await writer.discard()
      expect(totals().bytes).toBe(0)
    })

    it('shows an entry only when it is committed, and then whole', async () => {
      const body = Buffer.from('0123456789abcdefghij')
      const writer = await start(store, keyOf(1), body.length)
      await writer.write(body)
      expect(has(1)).toBe(false)
      await writer.commit(metaOf(keyOf(1), body.length))
      expect(has(1)).toBe(true)
      expect(await store.look(keyOf(1))).toEqual(metaOf(keyOf(1), body.length))
      expect((await under.body(keyOf(1))).equals(body)).toBe(true)
      expect(has(2)).toBe(false)
    })

    it('keeps an empty body', async () => {
      await put(store, keyOf(1), Buffer.alloc(0))
      expect((await store.look(keyOf(1)))?.length).toBe(0)
      expect(totals()).toEqual({ objects: 1, bytes: 4096 })
    })

    it('lets others read what is written, and gives it back, while the body still comes', async () => {
      const body = Buffer.from(Array.from({ length: 50_000 }, (_, index) => index % 251))
      const writer = await start(store, keyOf(1), undefined)
      const writes = [body.subarray(0, 7), body.subarray(7, 20_000), body.subarray(20_000)].map((chunk) => writer.write(chunk))
      await writes[1]
      if (writer.location.kind !== 'file') throw new Error('not in a file')
      const seen = await readFile(writer.location.path)
      expect(seen.subarray(writer.location.bodyOffset, writer.location.bodyOffset + 20_000).equals(body.subarray(0, 20_000))).toBe(true)
      await writes[2]
      expect(Buffer.from(await writer.readBack(5, 49_999)).equals(body.subarray(5, 49_999))).toBe(true)
      await writer.discard()
    })

    it('takes a body of unknown length, larger than its first reservation', async () => {
      const body = Buffer.alloc(700_000, 7)
      const writer = await start(store, keyOf(1), undefined)
      for (let at = 0; at < body.length; at += 65_536) await writer.write(body.subarray(at, at + 65_536))
      await writer.commit(metaOf(keyOf(1), body.length))
      expect((await under.body(keyOf(1))).equals(body)).toBe(true)
      expect(totals()).toEqual({ objects: 1, bytes: Math.ceil((BODY_OFFSET + 700_000 + 12) / 4096) * 4096 })
    })

    it('puts the newer entry in the place of the older, and tells that the older is gone', async () => {
      await put(store, keyOf(1), Buffer.from('the older body'))
      expect(await under.gone()).toEqual([])
      await put(store, keyOf(1), Buffer.from('the newer one!'))
      expect((await under.body(keyOf(1))).toString()).toBe('the newer one!')
      expect(await under.gone()).toEqual([keyOf(1).hash])
      expect(totals().objects).toBe(1)
    })

    it('evicts the least recently used, stays within its budget, and remembers', async () => {
      for (let number = 1; number <= 3; number++) await put(store, keyOf(number), Buffer.alloc(300_000, number))
      store.used(keyOf(1).hash)
      await put(store, keyOf(4), Buffer.alloc(300_000, 4))
      expect([1, 2, 3, 4].map(has)).toEqual([true, false, true, true])
      expect(totals().bytes).toBeLessThanOrEqual(CONTRACT_BUDGET)
      expect(store.stats()[0]!.evictedBytes).toBeGreaterThanOrEqual(300_000)
      expect([store.evicted(keyOf(2).hash), store.evicted(keyOf(1).hash)]).toEqual([true, false])
      expect(await under.gone()).toEqual([keyOf(2).hash])
    })

    it('drops an entry, but not for the fault of one that it replaced', async () => {
      await put(store, keyOf(1), Buffer.from('newer'), { id: 'aaaaaaaaaaaaaaaa' })
      await store.drop(keyOf(1).hash, 'bbbbbbbbbbbbbbbb')
      expect(has(1)).toBe(true)
      await store.drop(keyOf(1).hash, 'aaaaaaaaaaaaaaaa')
      expect(has(1)).toBe(false)
      await put(store, keyOf(1), Buffer.from('again'))
      await store.drop(keyOf(1).hash)
      expect([has(1), await store.look(keyOf(1)), totals().bytes]).toEqual([false, undefined, 0])
    })

    it('gives a body a new head, only while it is the same body', async () => {
      const body = Buffer.alloc(300_000, 5)
      await put(store, keyOf(1), body)
      expect(await store.rewrite(keyOf(1), metaOf(keyOf(1), body.length, { id: 'ffffffffffffffff' }))).toBe(false)
      expect(await store.rewrite(keyOf(2), metaOf(keyOf(2), body.length))).toBe(false)
      const fresher = metaOf(keyOf(1), body.length, { freshUntil: 999_999, headers: [['etag', '"2"']] })
      expect(await store.rewrite(keyOf(1), fresher)).toBe(true)
      expect(await store.look(keyOf(1))).toEqual(fresher)
      expect((await under.body(keyOf(1))).equals(body)).toBe(true)
      expect(await under.gone()).toEqual([keyOf(1).hash])
    })
  })
}
