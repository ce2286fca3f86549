import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { loadConfig, parseConfig } from './load.js'
import { bytes, duration, listenAddress, secret } from './units.js'

const schema = z.strictObject({
  timeout: duration({ min: '100ms', max: '1h' }).default(10_000),
  size: bytes({ min: '1MiB' }),
  listen: listenAddress(),
  token: secret(),
})
const good = { size: '50GiB', listen: '127.0.0.1:80', token: 'a-long-enough-token' }

describe('config', () => {
  it('names every problem at once, by key', () => {
    const bad = { timeout: '10', size: '1KiB', listen: 'localhost', token: 'short', extra: 1 }
    expect(() => parseConfig(schema, bad, 'edge.yaml')).toThrowError(
      /edge\.yaml has 5 problems:[\s\S]*timeout: [\s\S]*size: [\s\S]*listen: [\s\S]*token: /,
    )
  })

  it('that cannot be read says which file', () => {
    expect(() => loadConfig(schema, '/nowhere/x.yaml')).toThrowError(/cannot read config \/nowhere\/x\.yaml/)
  })

  it('gives milliseconds, bytes, addresses and secrets that no log shows', () => {
    const config = parseConfig(schema, { ...good, timeout: '1.5s' })
    expect(config.timeout).toBe(1500)
    expect(config.size).toBe(50 * 2 ** 30)
    expect(config.listen).toEqual({ host: '127.0.0.1', port: 80 })
    expect(config.token.reveal()).toBe('a-long-enough-token')
    for (const shown of [JSON.stringify(config), inspect(config, { depth: 5 }), `${config.token}`])
      expect(shown).not.toContain('long-enough')
  })

  it('reads YAML, IPv6 addresses and secrets from files', () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-config-'))
    writeFileSync(join(folder, 'token'), 'token-from-a-file\n')
    writeFileSync(join(folder, 'c.yaml'), `size: 1MiB\nlisten: "[::1]:8080"\ntoken: file:${folder}/token\n`)
    const config = loadConfig(schema, join(folder, 'c.yaml'))
    expect(config.listen).toEqual({ host: '::1', port: 8080 })
    expect(config.token.reveal()).toBe('token-from-a-file')
    expect(config.timeout).toBe(10_000)
  })
})
