import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bound } from '@millrace/common/process'
import { freePort } from '@millrace/common/testing/ports'
import { until } from '@millrace/common/testing/until'
import { execa } from 'execa'
import pg from 'pg'

const LIBRARY = '/usr/lib/postgresql'

/** Where PostgreSQL's programs are; undefined when it isn't installed. */
export async function findPostgres(): Promise<string | undefined> {
  const versions = existsSync(LIBRARY) ? await readdir(LIBRARY) : []
  const newest = versions.toSorted((a, b) => Number(b) - Number(a))[0]
  const bin = newest && join(LIBRARY, newest, 'bin')
  return bin && existsSync(join(bin, 'initdb')) ? bin : undefined
}

/** A private PostgreSQL: own folder, own port, gone with the test. It refuses to run as root, so root becomes `nobody` for it. */
export async function startPostgres(bin: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-postgres-'))
  const asUser = process.getuid?.() === 0 ? ['--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups', '--'] : []
  if (asUser.length > 0) {
    await execa('chown', ['nobody:nogroup', folder])
    await chmod(folder, 0o700)
  }
  const data = join(folder, 'data')
  const program = (name: string, args: string[]): [string, string[]] =>
    asUser.length > 0 ? ['setpriv', [...asUser, join(bin, name), ...args]] : [join(bin, name), args]
  const [initdb, initdbArgs] = program('initdb', ['-D', data, '-U', 'millrace', '-A', 'trust', '--no-sync', '-E', 'UTF8'])
  await execa(initdb, initdbArgs, { cwd: folder })
  const port = await freePort()
  const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', `unix_socket_directories=${folder}`, 'fsync=off', 'shared_buffers=16MB']
  const [file, args] = program('postgres', ['-D', data, ...settings.flatMap((setting) => ['-c', setting])])
  const server = bound(file, args, { cwd: folder, stdio: 'ignore', reject: false })
  const url = `postgres://millrace@127.0.0.1:${port}/postgres`
  await until('postgresql to answer', async () => {
    const client = new pg.Client(url)
    await client.connect()
    await client.end()
    return true
  })
  return {
    url,
    stop: async () => {
      server.kill('SIGINT')
      await server
      await rm(folder, { recursive: true, force: true })
    },
  }
}
