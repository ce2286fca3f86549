import { describe, expect, it } from 'vitest'
import { daemonArgs, type RsyncdSettings, renderRsyncdConf, renderSecrets } from './render-conf.js'

const settings: RsyncdSettings = {
  stagingRoot: '/srv/media/staging',
  assetsRoot: '/srv/media/assets',
  secretsFile: '/var/lib/o/rsyncd.secrets',
  lockFile: '/var/lib/o/rsyncd.lock',
  logFile: '/var/lib/o/rsyncd.log',
  transcoders: ['t1', 't2'],
  siblings: ['peer'],
  hostsAllow: ['10.0.0.0/8', '::1'],
  maxConnections: 7,
  timeoutSeconds: 60,
}
const section = (text: string, name: string) => text.split(`[${name}]\n`)[1]!.split('\n[')[0]!

describe('rsyncd.conf', () => {
  it('has a module that only takes and one that only gives, each with its own users', () => {
    const text = renderRsyncdConf(settings)
    expect(section(text, 'staging')).toMatch(/^path = \/srv\/media\/staging\nread only = no\nwrite only = yes\nauth users = t1 t2\n/)
    expect(section(text, 'assets')).toMatch(/^path = \/srv\/media\/assets\nread only = yes\nauth users = peer\n/)
  })

  it('allows options by name and nothing that writes in place, deletes or links', () => {
    const refused = /^refuse options = (.*)$/m.exec(section(renderRsyncdConf(settings), 'staging'))![1]!.split(' ')
    expect(refused[0]).toBe('*')
    expect(refused.slice(1).every((option) => option.startsWith('!'))).toBe(true)
    expect(refused.join(' ')).not.toMatch(/inplace|append|delete|links|dest|temp-dir|backup|owner|group|devices/)
  })

  it('chroots only where it runs as root', () => {
    expect(renderRsyncdConf(settings)).toContain('use chroot = no\n')
    expect(renderRsyncdConf(settings)).not.toContain('uid =')
    expect(renderRsyncdConf({ ...settings, root: { uid: 0, gid: 0 } })).toContain('use chroot = yes\n')
    expect(renderRsyncdConf({ ...settings, root: { uid: 5, gid: 6 } })).toContain('uid = 5\ngid = 6\n')
  })

  it('is listened for where it was said', () => {
    expect(daemonArgs('/c', { host: '::1', port: 873 })).toEqual(['--daemon', '--no-detach', '--config=/c', '--address=::1', '--port=873'])
    expect(renderSecrets([{ user: 'a', password: 'p:q' }])).toBe('a:p:q\n')
  })
})
