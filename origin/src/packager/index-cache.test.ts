import { describe, expect, it } from 'vitest'
import { IndexCache } from './index-cache.js'

const make = (bytes: number) => {
  const calls = { count: 0 }
  return { calls, make: () => Promise.resolve({ bytes, made: ++calls.count }) }
}

describe('index cache', () => {
  it('tells every waiting caller of a failure, and tries again for the next', async () => {
    const cache = new IndexCache<{ bytes: number }>(100)
    const failing = () => Promise.reject(new Error('no disk'))
    const both = await Promise.allSettled([cache.get('a', 'v', failing), cache.get('a', 'v', failing)])
    expect(both.map((result) => result.status)).toEqual(['rejected', 'rejected'])
    await expect(cache.get('a', 'v', () => Promise.resolve({ bytes: 1 }))).resolves.toEqual({ bytes: 1 })
  })

  it('never holds more than its bytes', async () => {
    const cache = new IndexCache<{ bytes: number }>(100)
    for (let i = 0; i < 20; i++) await cache.get(`folder-${i}`, 'v', () => Promise.resolve({ bytes: 30 }))
    expect(cache.bytes).toBe(90)
  })

  it('gives a value larger than itself, without keeping it', async () => {
    const cache = new IndexCache<{ bytes: number; made: number }>(100)
    const large = make(101)
    expect((await cache.get('a', 'v', large.make)).made).toBe(1)
    expect((await cache.get('a', 'v', large.make)).made).toBe(2)
    expect(cache.bytes).toBe(0)
  })

  it('makes a value once for callers at the same time, and for later ones', async () => {
    const cache = new IndexCache<{ bytes: number; made: number }>(100)
    const value = make(10)
    await Promise.all([1, 2, 3].map(() => cache.get('a', 'v', value.make)))
    await cache.get('a', 'v', value.make)
    expect(value.calls.count).toBe(1)
  })

  it('forgets one folder, not another whose name begins alike', async () => {
    const cache = new IndexCache<{ bytes: number; made: number }>(100)
    const [gone, kept] = [make(10), make(10)]
    await cache.get('/r1', 'v', gone.make)
    await cache.get('/r11', 'v', kept.make)
    cache.forget('/r1')
    await cache.get('/r1', 'v', gone.make)
    await cache.get('/r11', 'v', kept.make)
    expect([gone.calls.count, kept.calls.count]).toEqual([2, 1])
  })

  it('does not keep what was forgotten while it was made', async () => {
    const cache = new IndexCache<{ bytes: number; made: number }>(100)
    const value = make(10)
    const early = cache.get('a', 'v', value.make)
    cache.forget('a')
    expect((await early).made).toBe(1)
    expect((await cache.get('a', 'v', value.make)).made).toBe(2)
  })
})
