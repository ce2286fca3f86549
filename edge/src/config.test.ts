import { parseConfig } from '@millrace/common/config/load'
import { describe, expect, it } from 'vitest'
import { configSchema } from './config.js'

const least = {
  id: 'e1',
  listen: '127.0.0.1:8080',
  admin: { listen: '127.0.0.1:9090' },
  cache: { path: '/var/cache/millrace', size: '1GiB' },
  origins: [{ id: 'o1', url: 'http://10.0.0.1:8080' }],
}

describe('the edge config', () => {
  it.each([
    ['an unknown key', { ...least, colour: 'red' }, /colour/],
    ['a bare number as size', { ...least, cache: { path: '/x', size: 1000 } }, /cache\.size/],
    ['objects larger than the cache', { ...least, cache: { path: '/x', size: '1MiB', maxObject: '2MiB' } }, /cache\.maxObject/],
    ['two origins of one id', { ...least, origins: [...least.origins, ...least.origins] }, /two origins/],
    ['an origin URL with a path', { ...least, origins: [{ id: 'o1', url: 'http://a/b' }] }, /origins\.0\.url/],
    ['an origin URL with credentials', { ...least, origins: [{ id: 'o1', url: 'http://u:p@a' }] }, /origins\.0\.url/],
    ['an origin over ftp', { ...least, origins: [{ id: 'o1', url: 'ftp://a' }] }, /origins\.0\.url/],
    ['a generic path to an unknown origin', { ...least, paths: [{ prefix: '/a', mode: 'generic', origin: 'o2' }] }, /paths\.0\.origin/],
    ['signatures demanded without keys', { ...least, routes: { require: true } }, /routes\.keys/],
    ['a short key', { ...least, routes: { keys: { k1: 'short' } } }, /routes\.keys\.k1/],
    ['a bad key id', { ...least, routes: { keys: { 'K 1': 'long-enough-secret' } } }, /routes\.keys/],
  ])('refuses %s and names it', (_what, raw, message) => {
    expect(() => parseConfig(configSchema, raw)).toThrow(message)
  })

  it('fills in what is left out', () => {
    expect(parseConfig(configSchema, least)).toMatchObject({
      cache: { disks: [{ size: 2 ** 30 }], maxObject: 64 * 2 ** 20 },
      fetch: { connectTimeout: 2000, headersTimeout: 10_000, bodyTimeout: 10_000, connections: 64 },
      routes: { keys: {}, require: false },
      cors: { origin: '*' },
      negativeTtl: 2000,
      health: { failures: 3, coolDown: 5000 },
    })
  })
})
