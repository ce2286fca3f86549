import { expect, it } from 'vitest'
import { cacheKey, KEY_HASH } from './key.js'

it('names a path by 32 hex digits that stay the same over releases', () => {
  const key = cacheKey('/files/01hzy3v8k2m4n6p8q0r2s4t6v8/r1/main.m3u8')
  expect(key.hash).toMatch(KEY_HASH)
  expect(key.hash).toBe('7dd8ea5c0a815a6463fac2fdc212ab41')
  expect(cacheKey('/files/01hzy3v8k2m4n6p8q0r2s4t6v8/r2/main.m3u8').hash).not.toBe(key.hash)
})
