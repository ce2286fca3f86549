import { describe, expect, it } from 'vitest'
import type { EntryMeta } from '../cache/entry-meta.js'
import { cacheKey } from '../cache/key.js'
import { PreparedHead } from './prepared-head.js'
import { type RamEntry, RamTier, SHARED_BYTES } from './ram-tier.js'

const MIB = 1 << 20

function entryOf(text: string, length: number): RamEntry {
  const { hash } = cacheKey(text)
  const meta: EntryMeta = {
    id: '0123456789abcdef',
    key: text,
    status: 200,
    headers: [],
    length,
    origin: 'o1',
    generation: 0,
    bornAt: 0,
    freshUntil: 1,
    staleWhileRevalidate: 0,
    staleIfError: 0,
  }
  const head = new PreparedHead(meta, { common: '', hit: () => '' })
  return { hash, meta, head, body: Buffer.alloc(length), codings: undefined, countedAt: 0, checkedGeneration: 0 }
}

const tierOf = (maxBytes: number, workers = 1, worker = 0) => new RamTier({ maxBytes, maxObject: 4 * MIB, worker, workers })

describe('RamTier', () => {
  it('takes nothing when it has no room, or the object is too large', () => {
    const { hash } = cacheKey('a')
    expect(tierOf(0).wants(hash, 100, 9)).toBe(false)
    expect(tierOf(MIB).wants(hash, MIB, 9)).toBe(false)
    expect(tierOf(64 * MIB).wants(hash, 4 * MIB + 1, 9)).toBe(false)
  })

  it('keeps nothing of a load that failed, or whose object was forgotten meanwhile', async () => {
    const tier = tierOf(8 * MIB)
    const entry = entryOf('a', 1000)
    await expect(tier.load(entry.hash, entry.body.length, () => Promise.reject(new Error('disk')))).rejects.toThrow('disk')
    await tier.load(entry.hash, entry.body.length, async () => {
      tier.forget(entry.hash)
      return entry
    })
    expect([tier.objects, tier.bytes]).toEqual([0, 0])
    expect(tier.wants(entry.hash, 1000, 1)).toBe(true)
  })

  it('counts coded bodies, and lets go of others for them, or of an entry that outgrew the whole of it', async () => {
    const tier = tierOf(3 * MIB)
    const entries = ['a', 'b'].map((name) => entryOf(name, MIB))
    for (const entry of entries) await tier.load(entry.hash, MIB, async () => entry)
    const [a, b] = entries as [RamEntry, RamEntry]
    const before = tier.bytes
    const coded = { head: a.head, body: Buffer.alloc(MIB / 2) }
    a.codings = { gzip: coded }
    tier.resized(a)
    expect(tier.bytes - before).toBeGreaterThanOrEqual(MIB / 2)
    a.codings.br = coded
    tier.resized(a)
    // What just got a coded body was just asked for.
    expect([tier.peek(a.hash), tier.peek(b.hash)]).toEqual([a, undefined])
    expect(tier.bytes).toBeLessThanOrEqual(3 * MIB)
    tier.resized(b)
    expect(tier.objects).toBe(1)
    a.codings.br = { head: a.head, body: Buffer.alloc(2 * MIB) }
    tier.resized(a)
    expect([tier.objects, tier.bytes]).toEqual([0, 0])
  })

  it('counts what is being loaded, and makes its room before it is read', async () => {
    const tier = tierOf(3 * MIB)
    for (const name of ['a', 'b']) await tier.load(cacheKey(name).hash, MIB, async () => entryOf(name, MIB))
    const hot = entryOf('hot', MIB)
    let during = 0
    let room = true
    await tier.load(hot.hash, MIB, async () => {
      during = tier.bytes
      room = tier.wants(cacheKey('x').hash, MIB, 2)
      return hot
    })
    expect([tier.peek(cacheKey('a').hash), room]).toEqual([undefined, false])
    expect(during).toBeGreaterThan(2 * MIB)
    expect(during).toBeLessThanOrEqual(3 * MIB)
    expect([tier.bytes, tier.peek(hot.hash)]).toEqual([during, hot])
  })

  it('loads no more than four at once, also when they were forgotten meanwhile', async () => {
    const tier = tierOf(64 * MIB)
    let end = () => {}
    const reading = new Promise<undefined>((resolve) => {
      end = () => resolve(undefined)
    })
    const loads = ['a', 'b', 'c', 'd'].map((name) => tier.load(cacheKey(name).hash, MIB, () => reading))
    expect(tier.wants(cacheKey('e').hash, 100, 9)).toBe(false)
    tier.clear()
    expect([tier.wants(cacheKey('e').hash, 100, 9), tier.bytes > 4 * MIB]).toEqual([false, true])
    end()
    await Promise.all(loads)
    expect([tier.wants(cacheKey('e').hash, 100, 9), tier.bytes]).toEqual([true, 0])
  })

  it('loads an object once at a time', async () => {
    const tier = tierOf(8 * MIB)
    const entry = entryOf('a', 1000)
    const loaded = await Promise.all([
      tier.load(entry.hash, entry.body.length, async () => entry),
      tier.load(entry.hash, entry.body.length, async () => entry),
    ])
    expect(loaded).toEqual([entry, undefined])
    expect(tier.peek(entry.hash)).toBe(entry)
  })

  it('wants a small object at its first use, a large one at its second, a large one when full only when it is hot', async () => {
    const tier = tierOf(4 * MIB)
    const { hash } = cacheKey('x')
    expect(tier.wants(hash, SHARED_BYTES, 1)).toBe(true)
    expect([tier.wants(hash, MIB, 1), tier.wants(hash, MIB, 2)]).toEqual([false, true])
    for (const name of ['a', 'b', 'c']) await tier.load(cacheKey(name).hash, MIB, async () => entryOf(name, MIB))
    expect([tier.wants(hash, 2 * MIB, 3), tier.wants(hash, 2 * MIB, 4)]).toEqual([false, true])
  })

  it('stays within its bytes and lets go of what was used longest ago', async () => {
    const tier = tierOf(3 * MIB)
    const entries = ['a', 'b', 'c', 'd'].map((name) => entryOf(name, MIB - 4096))
    for (const entry of entries.slice(0, 3)) await tier.load(entry.hash, entry.body.length, async () => entry)
    expect(tier.count(entries[0]!, 1)).toBe(true)
    expect(tier.count(entries[0]!, 1)).toBe(false)
    await tier.load(entries[3]!.hash, MIB - 4096, async () => entries[3])
    expect(entries.map((entry) => tier.peek(entry.hash) !== undefined)).toEqual([true, false, true, true])
    expect(tier.bytes).toBeLessThanOrEqual(3 * MIB)
  })

  it('has each large object wanted by exactly one of several workers, a small one by all', () => {
    const tiers = [0, 1, 2].map((worker) => tierOf(64 * MIB, 3, worker))
    for (let number = 0; number < 100; number++) {
      const { hash } = cacheKey(`object ${number}`)
      expect(tiers.filter((tier) => tier.wants(hash, MIB, 5))).toHaveLength(1)
      expect(tiers.filter((tier) => tier.wants(hash, 2000, 1))).toHaveLength(3)
    }
  })
})
