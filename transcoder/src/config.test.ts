import { parseConfig } from '@millrace/common/config/load'
import { expect, test } from 'vitest'
import { configSchema } from './config.js'

const minimal = {
  id: 't1',
  redis: { url: 'redis://127.0.0.1:6379' },
  admin: { listen: '127.0.0.1:9100' },
  workspace: '/var/lib/millrace',
  cms: { url: 'http://127.0.0.1:8080', token: 'a-token-of-16-or-more' },
  publish: { rsync: { secret: 'a-secret-of-16-or-more' }, controlToken: 'a-token-of-16-or-more' },
}

test('an unknown key, a bad address range and a short secret are all named at once', () => {
  const raw = { ...minimal, sources: { allowPrivate: ['10.0.0.0'] }, publish: { ...minimal.publish, controlToken: 'short' }, colour: 'red' }
  expect(() => parseConfig(configSchema, raw)).toThrow(/3 problems[\s\S]*controlToken[\s\S]*allowPrivate[\s\S]*colour/)
})

test('the smallest config has every default, and shows no secret', () => {
  const config = parseConfig(configSchema, minimal)
  expect(config).toMatchObject({
    ffmpeg: { path: 'ffmpeg', stallTimeout: 120_000 },
    queue: { stallInterval: 5000 },
    sources: { allowPrivate: [], maxRedirects: 5 },
  })
  expect(JSON.stringify(config)).not.toContain('16-or-more')
})
