import { expect, test } from 'vitest'
import { plainRedisOptions } from './redis-options.js'

test.each([
  ['redis://10.0.0.1', { host: '10.0.0.1', port: 6379, db: 0 }],
  ['redis://:p%40ss@[::1]:6380/2', { host: '::1', port: 6380, db: 2, password: 'p@ss' }],
  ['rediss://user:secret@redis.example:6379', { host: 'redis.example', port: 6379, db: 0, user: 'user', password: 'secret', tls: {} }],
])('%s as plain options', (url, expected) => {
  expect(plainRedisOptions(url)).toEqual(expected)
})
