import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const SETUP = fileURLToPath(new URL('../setup.mjs', import.meta.url))
const NOBODY = 65_534

let bin: string
beforeEach(() => {
  bin = mkdtempSync(join(tmpdir(), 'millrace-bin-'))
  chmodSync(bin, 0o755)
})
afterEach(() => rmSync(bin, { recursive: true, force: true }))

/** The set-up as a user without root and sudo, who finds only what is in `bin`. */
function setUp(...args: string[]) {
  const asNobody = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  return spawnSync(process.execPath, [SETUP, ...args], {
    env: { PATH: bin },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    ...asNobody,
  })
}

describe('the set-up, where it may not install', () => {
  it('names every missing package and the command that installs them, and stops', () => {
    symlinkSync('/usr/bin/apt-get', join(bin, 'apt-get'))
    const { status, stderr } = setUp('--for', 'demo')
    expect(status).toBe(1)
    expect(stderr).toContain('Missing on this machine: ffmpeg, redis-server, rsync, util-linux.')
    expect(stderr).toContain('sudo apt-get install -y --no-install-recommends ffmpeg redis-server rsync util-linux')
  })

  it('says so where there is no apt-get', () => {
    const { status, stderr } = setUp('--for', 'demo')
    expect(status).toBe(1)
    expect(stderr).toContain('This system has no apt-get')
  })

  it('goes on without the peers of a bench, and says which are missing', () => {
    symlinkSync('/usr/bin/setpriv', join(bin, 'setpriv'))
    const { stdout, stderr } = setUp('--for', 'bench')
    expect(stdout).toMatch(/Missing on this machine: .*wrk, openssl\./)
    expect(stderr).not.toContain('Missing on this machine')
  })

  it('refuses a purpose that it does not know, and explains itself when asked', () => {
    expect(setUp('--for', 'nothing').status).toBe(2)
    const help = setUp('--help')
    expect(help.status).toBe(0)
    expect(help.stdout).toContain('usage:')
  })
})
