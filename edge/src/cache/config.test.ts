import { parseConfig } from '@millrace/common/config/load'
import { describe, expect, it } from 'vitest'
import { cacheSchema, ramSchema } from './config.js'

const disk = { path: '/var/cache/a', size: '1GiB' }

describe('the cache section of the config', () => {
  it.each([
    ['no disk', {}, /disks: is missing/],
    ['an empty list of disks', { disks: [] }, /disks/],
    ['a path without a size', { path: '/x' }, /size: is missing/],
    ['disks beside a path', { disks: [disk], path: '/x', size: '1GiB' }, /disks: stands beside/],
    ['one path twice', { disks: [disk, { ...disk, path: '/var/cache/../cache/a' }] }, /disks: two disks have one path/],
    ['33 disks', { disks: Array.from({ length: 33 }, (_, n) => ({ ...disk, path: `/${n}` })) }, /disks/],
    ['objects larger than a disk', { disks: [disk, { path: '/b', size: '1MiB' }] }, /maxObject/],
    ['a size without a unit', { disks: [{ path: '/a', size: 5 }] }, /disks\.0\.size/],
    ['an unknown key', { ...disk, colour: 'red' }, /colour/],
  ])('refuses %s and names it', (_what, raw, message) => {
    expect(() => parseConfig(cacheSchema, raw)).toThrow(message)
  })

  it('takes path and size for the only disk, and fills in the rest', () => {
    expect(parseConfig(cacheSchema, disk)).toEqual({
      disks: [{ path: '/var/cache/a', size: 2 ** 30, mounted: false }],
      maxObject: 64 * 2 ** 20,
      checkpoint: 30_000,
      verify: 10_000,
    })
    expect(parseConfig(cacheSchema, { disks: [disk], verify: '0s' })).toMatchObject({ disks: [{ path: '/var/cache/a' }], verify: 0 })
    expect(parseConfig(ramSchema, {})).toEqual({ size: 256 * 2 ** 20, maxObject: 8 * 2 ** 20 })
  })
})
