import { expect, it } from 'vitest'
import { NegativeCache } from './negative.js'

it('covers a set of origins only while each of them is remembered for this key', () => {
  let now = 1000
  const cache = new NegativeCache(100, () => now)
  cache.add('k', ['o1'])
  expect([cache.covers('k', ['o1']), cache.covers('k', ['o1', 'o2']), cache.covers('other', ['o1'])]).toEqual([true, false, false])
  now += 60
  cache.add('k', ['o2'])
  expect(cache.covers('k', ['o2', 'o1'])).toBe(true)
  now += 60
  expect([cache.covers('k', ['o1', 'o2']), cache.covers('k', ['o2'])]).toEqual([false, true])
})
