import { parseConfig } from '@millrace/common/config/load'
import { describe, expect, it } from 'vitest'
import { configSchema } from './config.js'

const minimal = () => ({
  id: 'o1',
  listen: '127.0.0.1:8080',
  control: { listen: '127.0.0.1:8081', token: 'control-token-0123456' },
  admin: { listen: '127.0.0.1:8082' },
  root: '/srv/media',
  state: '/var/lib/millrace',
  rsync: {
    listen: '127.0.0.1:8730',
    transcoders: [{ user: 'transcoder', secret: 'transcoder-secret-01' }],
    sibling: { user: 'sibling', secret: 'sibling-secret-01234' },
  },
})

const refused = (change: (config: ReturnType<typeof minimal> & Record<string, unknown>) => void) => {
  const config = minimal()
  change(config)
  try {
    parseConfig(configSchema, config)
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

describe('the config', () => {
  it.each([
    ['surprise', (c: Record<string, unknown>) => void (c.surprise = 1)],
    ['root', (c: Record<string, unknown>) => void (c.root = 'relative')],
    ['root', (c: Record<string, unknown>) => void (c.root = '/srv/%RSYNC_USER_NAME%')],
    ['root', (c: Record<string, unknown>) => void (c.root = '/srv/x\nread only = no')],
    ['minFreeBytes', (c: Record<string, unknown>) => void (c.minFreeBytes = 5)],
  ])('names %s when it is wrong', (key, change) => expect(refused(change)).toContain(key))

  it('keeps rsyncd.conf and the secrets file free of foreign lines', () => {
    expect(refused((c) => void (c.rsync.sibling.user = 'a:b'))).toContain('rsync.sibling.user')
    expect(refused((c) => void (c.rsync.sibling.secret = 'sixteen-or-more\nx:y'))).toContain('rsync.sibling.secret')
    expect(refused((c) => void (c.rsync.sibling.user = 'transcoder'))).toContain('one user name')
    for (const host of ['everywhere', '10.0.0.0/33', '10.0.0.0/8 *', '1.2.3']) {
      expect(
        refused((c) => void Object.assign(c.rsync, { hostsAllow: [host] })),
        host,
      ).toContain('rsync.hostsAllow')
    }
  })

  it('has a default for everything that can have one, and hides its secrets', () => {
    const config = parseConfig(configSchema, minimal())
    expect(config).toMatchObject({
      packager: 'auto',
      files: { allowMp4: false },
      staging: { maxAge: 86_400_000 },
      rsync: { hostsAllow: ['127.0.0.0/8', '::1'], maxConnections: 64 },
    })
    expect(JSON.stringify(config)).not.toMatch(/control-token|transcoder-secret|sibling-secret/)
  })
})
