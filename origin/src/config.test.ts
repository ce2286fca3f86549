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

function refusal(change: Record<string, unknown>, rsync: Record<string, unknown> = {}): string {
  const config = minimal()
  try {
    parseConfig(configSchema, { ...config, ...change, rsync: { ...config.rsync, ...rsync } })
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

describe('the config', () => {
  it.each([
    [{ surprise: 1 }, 'surprise'],
    [{ root: 'relative' }, 'root'],
    [{ root: '/srv/%RSYNC_USER_NAME%' }, 'root'],
    [{ root: '/srv/x\nread only = no' }, 'root'],
    [{ minFreeBytes: 5 }, 'minFreeBytes'],
  ])('names what is wrong in %j', (change, key) => expect(refusal(change)).toContain(key))

  it('keeps rsyncd.conf and the secrets file free of foreign lines', () => {
    const secret = 'sixteen-or-more-of-it'
    expect(refusal({}, { sibling: { user: 'a:b', secret } })).toContain('rsync.sibling.user')
    expect(refusal({}, { sibling: { user: 'a', secret: `${secret}\nx:y` } })).toContain('rsync.sibling.secret')
    expect(refusal({}, { sibling: { user: 'transcoder', secret } })).toContain('one user name')
    for (const host of ['everywhere', '10.0.0.0/33', '10.0.0.0/8 *', '1.2.3']) {
      expect(refusal({}, { hostsAllow: [host] }), host).toContain('rsync.hostsAllow')
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
