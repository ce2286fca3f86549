import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '@millrace/common/testing/ports'
import { until } from '@millrace/common/testing/until'
import { execa } from 'execa'
import { request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { greets } from '../src/rsyncd/greeting.js'
import { rawConfig, tempFolder } from './start-origin.js'

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))

let folder: Awaited<ReturnType<typeof tempFolder>>
beforeEach(async () => {
  folder = await tempFolder()
})
afterEach(() => folder.remove())

async function start(change: Record<string, unknown> = {}) {
  const file = join(folder.path, 'origin.yaml')
  await writeFile(file, JSON.stringify(rawConfig(folder.path, change)))
  const child = execa('node', [MAIN, '--config', file], { reject: false, all: true })
  return { child }
}

interface Ready {
  data: { host: string; port: number }
  rsync: { host: string; port: number }
}

function ready(child: Awaited<ReturnType<typeof start>>['child']): Promise<Ready> {
  let text = ''
  child.stdout.on('data', (data) => {
    text += data
  })
  return until('the ready line', () => {
    const line = text.split('\n').find((one) => one.includes('"msg":"ready"'))
    return line === undefined ? undefined : (JSON.parse(line) as Ready)
  })
}

describe('the origin as a process', () => {
  it.each([
    ['an unknown key', { surprise: 1 }, /bad-config|surprise/],
    ['a short token', { control: { listen: '127.0.0.1:0', token: 'short' } }, /control\.token/],
    ['nginx-vod, which this release cannot drive', { packager: 'nginx-vod' }, /packager: auto/],
  ])('refuses to start with %s, and says so', async (_what, change, message) => {
    const { child } = await start(change)
    const { exitCode, all } = await child
    expect(exitCode).toBe(1)
    expect(all).toMatch(message)
  })

  it('refuses to start when its rsync port is taken', async () => {
    const port = await freePort()
    const first = await start({ rsync: { ...(rawConfig('').rsync as object), listen: `127.0.0.1:${port}` } })
    await ready(first.child)
    const second = await start({ rsync: { ...(rawConfig('').rsync as object), listen: `127.0.0.1:${port}` } })
    const { exitCode, all } = await second.child
    expect(exitCode).toBe(1)
    expect(all).toContain('address-in-use')
    first.child.kill('SIGTERM')
    expect((await first.child).exitCode).toBe(0)
  })

  it('takes its rsync daemon along, stopped or killed', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const { child } = await start()
      const { data, rsync } = await ready(child)
      expect(await greets(rsync, 1000)).toBe(true)
      const answer = await request(`http://${data.host}:${data.port}/`)
      expect(answer.statusCode).toBe(404)
      await answer.body.dump()
      child.kill(signal)
      await child
      await until('the daemon to be gone', async () => !(await greets(rsync, 1000)))
    }
  })
})
