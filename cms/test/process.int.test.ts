import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bound } from '@millrace/common/process'
import { until } from '@millrace/common/testing/until'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { openDatabase } from '../src/db/open.js'
import { apiOf, event, log, TestFleet } from './fleet.js'

/** On a busy machine. */
const START_MS = 120_000
const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))

interface Service {
  url: string
  kill: (signal: NodeJS.Signals) => Promise<{ exitCode: number | undefined }>
}

vi.setConfig({ testTimeout: START_MS + 60_000 })

let fleet: TestFleet
const running: Service[] = []
let template: string

// Making a database takes seconds of work: it is done once, and copied.
beforeAll(async () => {
  template = await mkdtemp(join(tmpdir(), 'millrace-cms-template-'))
  await (await openDatabase({ path: template }, log, () => undefined)).close()
}, START_MS)
afterAll(() => rm(template, { recursive: true, force: true }))
beforeEach(async () => {
  fleet = await new TestFleet().start()
  await cp(template, join(fleet.folder, 'db'), { recursive: true })
})
afterEach(async () => {
  for (const service of running.splice(0)) await service.kill('SIGKILL')
  await fleet.stop()
})

/** The built service as a process, as on a host. */
async function start(change: Record<string, unknown> = {}): Promise<Service> {
  const path = join(fleet.folder, 'cms.yaml')
  await writeFile(path, JSON.stringify(fleet.rawConfig(change)))
  const child = bound(process.execPath, [MAIN, '--config', path], { reject: false, buffer: false, stdin: 'ignore', stderr: 'inherit' })
  let url: string | undefined
  let last = ''
  child.stdout.on('data', (data: Buffer) => {
    last += data.toString()
    for (const line of last.split('\n').slice(0, -1)) if (line.includes('"msg":"ready"')) url = JSON.parse(line).url
  })
  const service: Service = {
    url: '',
    kill: async (signal) => {
      child.kill(signal)
      const { exitCode } = await child
      return { exitCode }
    },
  }
  running.push(service)
  const outcome = await Promise.race([until('the service to be ready', () => url, START_MS), child.then(({ exitCode }) => ({ exitCode }))])
  if (typeof outcome !== 'string') throw new Error(`exit ${outcome.exitCode}: ${last}`)
  service.url = outcome
  return service
}

describe('the service as a process', () => {
  it('that was killed while a job runs makes the video ready after its restart', async () => {
    const first = await start()
    const { id } = await apiOf(first.url).create()
    await fleet.say(event('taken', id, 1))
    await apiOf(first.url).becomes(id, 'transcoding')
    await first.kill('SIGKILL')
    await fleet.say(event('publishing', id, 1))
    await fleet.say(event('published', id, 1))
    const second = await start()
    expect(await apiOf(second.url).becomes(id, 'ready')).toMatchObject({ rev: 'r1' })
    expect((await second.kill('SIGTERM')).exitCode).toBe(0)
  })

  it('queues what a killed one had written but not queued', async () => {
    const first = await start()
    const { id } = await apiOf(first.url).create()
    await first.kill('SIGKILL')
    await fleet.redis.flushall()
    await start()
    await until('the job', () => fleet.queued(`${id}-1`))
  })

  it('refuses a database folder that another process has open', async () => {
    await start()
    await expect(start()).rejects.toThrow(/exit 1: .*another process holds/s)
  })

  it('starts over when it was killed while it made its database', async () => {
    await rm(join(fleet.folder, 'db'), { recursive: true })
    await mkdir(join(fleet.folder, 'db', 'data.creating', 'base'), { recursive: true })
    const { url } = await start()
    expect((await apiOf(url).create()).state).toBe('queued')
    expect((await readdir(join(fleet.folder, 'db'))).toSorted()).toEqual(['data', 'lock'])
  })

  it('does not start with a bad configuration, and names every problem', async () => {
    await expect(start({ listen: 'everywhere', surprise: 1, edges: [] })).rejects.toThrow(/exit 1: .*3 problems.*listen.*edges.*surprise/s)
  })
})
