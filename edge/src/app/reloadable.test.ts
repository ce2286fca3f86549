import { parseConfig } from '@millrace/common/config/load'
import { describe, expect, it } from 'vitest'
import { configSchema } from '../config.js'
import { takeOver } from './reloadable.js'

const START = {
  id: 'e1',
  listen: '127.0.0.1:80',
  admin: { listen: '127.0.0.1:81', token: 'the-token-of-the-start' },
  cache: { path: '/c', size: '1GiB' },
  origins: [{ id: 'o1', url: 'http://127.0.0.1:82' }],
}
const TLS = { listen: '127.0.0.1:443', cert: '/c.pem', key: '/k.pem' }

const read = (raw: Record<string, unknown>) => ({ raw, config: parseConfig(configSchema, raw) })
const taken = (changes: Record<string, unknown>, from: Record<string, unknown> = {}) =>
  takeOver(read({ ...START, ...from }), read({ ...START, ...from, ...changes }))

describe('what a reload takes over', () => {
  it('is nothing when a path that stays would be without its origin', () => {
    const paths = [{ prefix: '/site', mode: 'generic', origin: 'o1' }]
    const origins = [{ id: 'o2', url: 'http://127.0.0.1:83' }]
    expect(() => taken({ origins, paths: [] }, { paths })).toThrow(/paths\.0\.origin: o1 is none of origins/)
  })

  it('leaves out what needs a restart, and names it as the file does, a changed secret too', () => {
    const { raw, config, needRestart } = taken({
      workers: 4,
      admin: { ...START.admin, token: 'another-token-for-admins' },
      cache: { path: '/c', size: '2GiB' },
      log: { access: { sample: 0.5 } },
      tls: TLS,
    })
    expect(needRestart).toEqual(['admin.token', 'cache.size', 'log.access.sample', 'tls.cert', 'tls.key', 'tls.listen', 'workers'])
    expect(raw).toEqual(START)
    expect(config.workers).toBe(1)
  })

  it('are origins, routes and limits, also back to their defaults, and the certificate of a listener that is there', () => {
    const from = { limits: { maxRequests: 5 }, routes: { skew: '1s' }, tls: TLS }
    const { routes: _, limits: __, ...rest } = { ...START, ...from }
    const origins = [{ id: 'o2', url: 'http://127.0.0.1:83' }]
    const tls = { ...TLS, cert: '/d.pem', listen: '127.0.0.1:444' }
    const { raw, config, needRestart } = takeOver(read({ ...START, ...from }), read({ ...rest, origins, tls }))
    expect(raw).toEqual({ ...START, origins, tls: { ...TLS, cert: '/d.pem' } })
    expect([config.limits.maxRequests, config.routes.skew]).toEqual([20_000, 30_000])
    expect(needRestart).toEqual(['tls.listen'])
  })

  it('is all there is when a setting is only written differently', () => {
    expect(taken({ drainTimeout: '30000ms', workers: 1, cache: { disks: [{ path: '/c', size: '1024MiB' }] } }).needRestart).toEqual([])
  })
})
