import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { MillraceError } from '@millrace/common/errors'
import { stopInPhases } from '@millrace/common/lifecycle'
import { createLogger } from '@millrace/common/log'
import { createRegistry } from '@millrace/common/metrics/registry'
import { until } from '@millrace/common/testing/until'
import { Agent, request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Supervisor, type SupervisorOptions, supervise } from '../src/supervise/supervisor.js'
import { BODY_LENGTH, bytesOf, serveBytes, serveInTwo, startOrigin, type TestOrigin } from './origin.js'

const CHILD = fileURLToPath(new URL('fixtures/child.mjs', import.meta.url))
const SUPERVISOR = fileURLToPath(new URL('fixtures/supervisor.mjs', import.meta.url))
const log = createLogger({ service: 'toy', level: 'silent' })

interface WorkerStatus {
  url: string
  told?: number
  purged: string[]
  resets: number
  reopened: number
  config: Record<string, unknown>
  there: boolean
}
interface KeeperStatus {
  opens: number
  workers: string[]
}

describe('the supervisor of keeper and workers', () => {
  let folder: string
  let origin: TestOrigin
  let supervisor: Supervisor | undefined
  let agent: Agent
  const givenUp: MillraceError[] = []

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-toy-'))
    origin = await startOrigin()
    agent = new Agent({ connections: 600, pipelining: 1 })
    givenUp.length = 0
  })
  afterEach(async () => {
    await supervisor?.stopAll()
    supervisor = undefined
    await agent.destroy()
    await origin.stop()
    await rm(folder, { recursive: true })
  })

  const config = (more: Record<string, unknown> = {}) => ({ origin: origin.url, folder, ...more })

  const start = async (more: Partial<SupervisorOptions> = {}): Promise<Supervisor> => {
    supervisor = await supervise({
      title: 'toy-edge',
      entry: CHILD,
      execArgv: [],
      workers: 2,
      config: config(),
      registry: createRegistry({ service: 'toy', id: 't1' }),
      admin: { listen: { host: '127.0.0.1', port: 0 } },
      drainTimeoutMs: 5000,
      log,
      onGiveUp: (error) => givenUp.push(error),
      ...more,
    })
    return supervisor
  }

  const pidOf = (name: string) => supervisor!.children().find((child) => child.name === name)!.pid!
  const statusOf = async (name: string) => (await supervisor!.statuses()).get(name) as WorkerStatus
  const keeperStatus = async () => (await supervisor!.statuses()).get('keeper') as KeeperStatus
  const urls = async () => Promise.all(['worker-1', 'worker-2'].map(async (name) => (await statusOf(name)).url))
  const get = async (url: string) => {
    const { statusCode, headers, body } = await request(url, { dispatcher: agent })
    return { status: statusCode, cache: headers['x-cache'], body: Buffer.from(await body.arrayBuffer()) }
  }
  const admin = async (path: string) => {
    const { port } = supervisor!.adminAddress
    const { statusCode, body } = await request(`http://127.0.0.1:${port}${path}`)
    return { status: statusCode, text: await body.text() }
  }
  const metric = async (line: string) => {
    const { status, text } = await admin('/metrics')
    if (status !== 200) throw new Error(text)
    const found = text.split('\n').find((each) => each.startsWith(line))
    return found === undefined ? undefined : Number(found.split(' ').at(-1))
  }
  const allReady = () =>
    until('all to be ready', () => supervisor!.children().every((child) => child.state === 'ready') && supervisor!.children().length === 3)
  const replaced = async (name: string, pid: number) => {
    await until(`another ${name}`, () => {
      const now = supervisor!.children().find((child) => child.name === name)
      return now?.state === 'ready' && now.pid !== pid
    })
  }

  describe('that cannot start', () => {
    it('says at once what a child says, when no second try can help, and leaves nothing behind', async () => {
      await expect(start({ config: config({ failStart: 'worker-2' }) })).rejects.toMatchObject({
        code: 'bad-config',
        message: 'worker-2: the certificate is missing',
      })
    })

    it('tries a child that crashes some times, then says how it ended', async () => {
      const limits = { maxDeaths: 3, windowMs: 60_000, firstBackoffMs: 10, maxBackoffMs: 100 }
      await expect(start({ config: config({ crashStart: 'worker-1' }), limits })).rejects.toMatchObject({
        code: 'child-died',
        message: 'worker-1 died: exit code 3',
      })
    })

    it('shows the last words of a child whose file is no program', async () => {
      const limits = { maxDeaths: 1, windowMs: 60_000, firstBackoffMs: 10, maxBackoffMs: 100 }
      const error = await start({ entry: join(folder, 'nothing.mjs'), limits }).catch((caught: MillraceError) => caught)
      expect(error).toMatchObject({ code: 'child-died', detail: expect.stringContaining('nothing.mjs') })
    })
  })

  describe('whose worker cannot be started again', () => {
    const limits = { maxDeaths: 3, windowMs: 60_000, firstBackoffMs: 10, maxBackoffMs: 50 }
    const block = async (name: string) => {
      await writeFile(join(folder, name), '')
      process.kill(pidOf(name), 'SIGKILL')
    }
    const deaths = () => metric('millrace_edge_child_restarts_total{role="worker",reason="died"')

    it('goes on while another one serves, tries again and again and counts it, and takes it back when it can', async () => {
      await start({ config: config({ crashWhile: folder }), limits })
      const pid = pidOf('worker-1')
      const [, url] = await urls()
      await block('worker-1')
      await until('many tries', async () => (await deaths())! >= 8)
      expect(givenUp).toEqual([])
      expect(await metric('millrace_edge_children_ready{role="worker"')).toBe(1)
      expect((await get(`${url}/dash/a`)).status).toBe(200)
      await supervisor!.reload(config({ limit: 2, crashWhile: folder }))
      expect((await statusOf('worker-2')).config).toMatchObject({ limit: 2 })
      await rm(join(folder, 'worker-1'))
      await replaced('worker-1', pid)
      expect((await statusOf('worker-1')).config).toMatchObject({ limit: 2 })
    })

    it('goes on while the other one, which has died as well, is only being replaced', async () => {
      await start({ config: config({ crashWhile: folder }), limits })
      await block('worker-1')
      await until('some tries', async () => (await deaths())! >= 5)
      const pid = pidOf('worker-2')
      process.kill(pid, 'SIGKILL')
      await replaced('worker-2', pid)
      expect(givenUp).toEqual([])
    })

    it('gives up when none can be started, and says why', async () => {
      await start({ config: config({ crashWhile: folder }), limits })
      await block('worker-1')
      await until('some tries', async () => (await deaths())! >= 5)
      await block('worker-2')
      await until('its end', () => givenUp.length > 0)
      expect(givenUp[0]).toMatchObject({ code: 'child-died', message: expect.stringMatching(/worker-\d died: exit code 3/) })
    })

    it('stops all the same, and restarts the other ones on request no further', async () => {
      await start({ config: config({ crashWhile: folder }), limits })
      await writeFile(join(folder, 'worker-1'), '')
      const pid = pidOf('worker-2')
      await expect(supervisor!.restartWorkers()).rejects.toMatchObject({ code: 'child-died' })
      expect(pidOf('worker-2')).toBe(pid)
      await supervisor!.reload(config({ limit: 2, crashWhile: folder }))
      expect((await statusOf('worker-2')).config).toMatchObject({ limit: 2 })
    })
  })

  describe('replaces', () => {
    it('a worker that was killed, on the same port, and no other process', async () => {
      await start()
      const before = supervisor!.children()
      const [url] = await urls()
      process.kill(pidOf('worker-1'), 'SIGKILL')
      await replaced('worker-1', before[1]!.pid!)
      expect((await urls())[0]).toBe(url)
      expect(pidOf('keeper')).toBe(before[0]!.pid)
      expect(pidOf('worker-2')).toBe(before[2]!.pid)
      expect((await get(`${url}/dash/a`)).body).toEqual(bytesOf('/dash/a', BODY_LENGTH))
      expect(await metric('millrace_edge_child_restarts_total{role="worker",reason="died"')).toBe(1)
      expect((await keeperStatus()).workers.sort()).toEqual(['worker-1.2', 'worker-2.1'])
    })

    it('a keeper that was killed in the middle of a fill: its transfer breaks, the next request is served', async () => {
      await start()
      const [url] = await urls()
      const half = serveInTwo(100_000)
      origin.behave(half.behaviour)
      const running = await request(`${url}/dash/a`, { dispatcher: agent })
      expect(running.statusCode).toBe(200)
      const pid = pidOf('keeper')
      process.kill(pid, 'SIGKILL')
      await expect(running.body.arrayBuffer()).rejects.toThrow()
      origin.behave(serveBytes())
      const next = await get(`${url}/dash/a`)
      expect(next).toMatchObject({ status: 200, cache: 'miss' })
      expect(next.body).toEqual(bytesOf('/dash/a', BODY_LENGTH))
      half.release()
      await replaced('keeper', pid)
      expect(await statusOf('worker-1')).toMatchObject({ resets: 1, there: true })
    })

    it('a child that hangs', async () => {
      await start({ times: { pingEveryMs: 50, pingTimeoutMs: 1500 } })
      for (const name of ['worker-2', 'keeper']) {
        const pid = pidOf(name)
        process.kill(pid, 'SIGSTOP')
        await replaced(name, pid)
        expect(alive(pid)).toBe(false)
      }
      expect(await metric('millrace_edge_child_restarts_total{role="worker",reason="hung"')).toBeGreaterThanOrEqual(1)
      expect(await metric('millrace_edge_child_restarts_total{role="keeper",reason="hung"')).toBeGreaterThanOrEqual(1)
      const [, url] = await urls()
      expect((await get(`${url}/dash/a`)).status).toBe(200)
    })

    it('the workers one after the other on request, each after its transfers', async () => {
      await start()
      const before = supervisor!.children()
      const [url] = await urls()
      const half = serveInTwo(100_000)
      origin.behave(half.behaviour)
      const running = await request(`${url}/dash/a`, { dispatcher: agent, reset: true })
      const restarted = supervisor!.restartWorkers()
      await until('the first to stop', () => supervisor!.children()[1]!.state === 'stopping')
      expect(supervisor!.children()[2]).toEqual(before[2])
      half.release()
      expect(Buffer.from(await running.body.arrayBuffer())).toEqual(bytesOf('/dash/a', BODY_LENGTH))
      await restarted
      const after = supervisor!.children()
      expect(after.map((child) => child.state)).toEqual(['ready', 'ready', 'ready'])
      expect(after[0]!.pid).toBe(before[0]!.pid)
      for (const index of [1, 2]) expect(after[index]!.pid).not.toBe(before[index]!.pid)
      expect(await metric('toy_requests_total')).toBe(1)
      expect(await metric('millrace_edge_child_restarts_total{role="worker",reason="asked"')).toBe(2)
    })
  })

  describe('purges', () => {
    it('count as done only without a worker that does not confirm: it is killed, and knows of them when it is back', async () => {
      await start()
      const pid = pidOf('worker-2')
      process.kill(pid, 'SIGSTOP')
      expect(await supervisor!.askKeeper('purge', 'p1', 6000)).toBe(1)
      expect((await statusOf('worker-1')).purged).toEqual(['p1'])
      await replaced('worker-2', pid)
      expect((await statusOf('worker-2')).purged).toEqual(['p1'])
      expect(await metric('millrace_edge_child_restarts_total{role="worker",reason="late"')).toBe(1)
    })

    it('during the restart of a worker reach it by the snapshot', async () => {
      await start()
      const pid = pidOf('worker-1')
      process.kill(pid, 'SIGKILL')
      await supervisor!.askKeeper('purge', 'p1', 6000)
      expect((await statusOf('worker-2')).purged).toEqual(['p1'])
      await replaced('worker-1', pid)
      expect((await statusOf('worker-1')).purged).toEqual(['p1'])
    })

    it('are in force in every worker when they are answered', async () => {
      await start()
      expect(await supervisor!.askKeeper('purge', 'p1')).toBe(2)
      for (const name of ['worker-1', 'worker-2']) expect((await statusOf(name)).purged).toEqual(['p1'])
    })
  })

  it('makes one fill of 1,000 requests for one key at two workers', async () => {
    await start()
    const [one, two] = await urls()
    const half = serveInTwo(100_000)
    origin.behave(half.behaviour)
    const answers = Promise.all(Array.from({ length: 1000 }, (_, i) => get(`${i % 2 ? one : two}/dash/a`)))
    await until('all to have asked', async () => (await keeperStatus()).opens === 1000)
    half.release()
    const wanted = bytesOf('/dash/a', BODY_LENGTH)
    const got = await answers
    expect(got.every(({ status, body }) => status === 200 && body.equals(wanted))).toBe(true)
    expect(got.filter(({ cache }) => cache === 'miss')).toHaveLength(1)
    expect(origin.requests).toEqual(['/dash/a'])
  })

  describe('metrics', () => {
    it('never go backwards when a worker is replaced', async () => {
      await start()
      const [one, two] = await urls()
      for (let i = 0; i < 5; i++) await get(`${one}/dash/a`)
      for (let i = 0; i < 3; i++) await get(`${two}/dash/a`)
      expect(await metric('toy_requests_total')).toBe(8)
      for (const signal of ['SIGKILL', 'SIGKILL'] as const) {
        const pid = pidOf('worker-1')
        process.kill(pid, signal)
        await replaced('worker-1', pid)
        expect(await metric('toy_requests_total')).toBe(8)
      }
      await get(`${(await urls())[0]}/dash/a`)
      expect(await metric('toy_requests_total')).toBe(9)
    })

    it('of all processes are one page: sums, and what is of one process by its name', async () => {
      await start()
      const { status, text } = await admin('/metrics')
      expect(status).toBe(200)
      expect(text).toContain('toy_connections{service="toy",id="t1"} 3\n')
      expect(text).toContain('toy_objects{service="toy",id="t1"} 7\n')
      expect(text).toContain('millrace_edge_children_ready{role="worker",service="toy",id="t1"} 2\n')
      for (const name of ['supervisor', 'keeper', 'worker-1', 'worker-2']) {
        expect(text).toMatch(new RegExp(`process_resident_memory_bytes\\{.*process="${name}"\\} \\d`))
      }
      expect(text.match(/^process_cpu_seconds_total\{/gm)).toHaveLength(1)
      // Scrapes that follow closely find nothing measured between them: some gauges are no numbers then.
      const again = await Promise.all(Array.from({ length: 5 }, () => admin('/metrics')))
      expect(again.map((answer) => answer.status)).toEqual([200, 200, 200, 200, 200])
    })
  })

  describe('a reload', () => {
    it('that one child refuses changes nothing anywhere, and says why', async () => {
      await start()
      await expect(supervisor!.reload(config({ refusedBy: 'worker-2' }))).rejects.toMatchObject({ message: "worker-2 can't" })
      for (const name of ['worker-1', 'worker-2']) expect((await statusOf(name)).config).toEqual(config())
      const pid = pidOf('worker-2')
      process.kill(pid, 'SIGKILL')
      await replaced('worker-2', pid)
      expect((await statusOf('worker-2')).config).toEqual(config())
    })

    it('that the first worker cannot put into force changes nothing anywhere, and says why', async () => {
      await start()
      const pids = ['keeper', 'worker-1', 'worker-2'].map(pidOf)
      await expect(supervisor!.reload(config({ failsIn: 'worker-1' }))).rejects.toMatchObject({ code: 'listen-failed' })
      for (const name of ['worker-1', 'worker-2']) expect((await statusOf(name)).config).toEqual(config())
      expect(['keeper', 'worker-1', 'worker-2'].map(pidOf)).toEqual(pids)
      await supervisor!.reload(config({ limit: 2 }))
      expect((await statusOf('worker-1')).config).toEqual(config({ limit: 2 }))
    })

    it('that a later worker cannot put into force costs that one its process: it comes back with it', async () => {
      await start()
      const pid = pidOf('worker-2')
      await supervisor!.reload(config({ failsIn: 'worker-2' }))
      await replaced('worker-2', pid)
      for (const name of ['worker-1', 'worker-2']) expect((await statusOf(name)).config).toMatchObject({ failsIn: 'worker-2' })
    })

    it('is in force in every child, also in one that is replaced later', async () => {
      await start()
      const next = config({ limit: 2 })
      await supervisor!.reload(next)
      for (const name of ['worker-1', 'worker-2']) expect((await statusOf(name)).config).toEqual(next)
      const pid = pidOf('worker-1')
      process.kill(pid, 'SIGKILL')
      await replaced('worker-1', pid)
      expect((await statusOf('worker-1')).config).toEqual(next)
      await supervisor!.reopenLogs()
      expect((await statusOf('worker-2')).reopened).toBe(1)
    })
  })

  it('puts a reload into force in a child that is just starting, too', async () => {
    await start()
    const pid = pidOf('worker-1')
    process.kill(pid, 'SIGKILL')
    await until('the start', () => supervisor!.children()[1]!.state === 'starting')
    const next = config({ limit: 3 })
    await supervisor!.reload(next)
    await replaced('worker-1', pid)
    expect((await statusOf('worker-1')).config).toEqual(next)
  })

  describe('is ready', () => {
    it('no more when no worker is', async () => {
      await start()
      for (const name of ['worker-1', 'worker-2']) process.kill(pidOf(name), 'SIGKILL')
      await until('not ready', async () => {
        const { status, text } = await admin('/readyz')
        return status === 503 && /worker-1 is \w+, worker-2 is \w+/.test(text)
      })
      await allReady()
      expect(await admin('/readyz')).toMatchObject({ status: 200 })
    })

    it.each(['worker-2', 'keeper'])('while %s is replaced', async (name) => {
      await start()
      const pid = pidOf(name)
      process.kill(pid, 'SIGKILL')
      const seen = new Set<number>()
      await until('another one', async () => {
        seen.add((await admin('/readyz')).status)
        const now = supervisor!.children().find((child) => child.name === name)
        return now?.state === 'ready' && now.pid !== pid
      })
      expect([...seen]).toEqual([200])
    })

    it('with all workers on the port of the first', async () => {
      await start()
      expect(await admin('/readyz')).toMatchObject({ status: 200 })
      expect((await statusOf('worker-2')).told).toBe(supervisor!.address.port)
    })
  })

  it('stops in order: not ready, workers after their transfers, keeper, socket', async () => {
    await start()
    const stopped = supervisor!
    const pids = stopped.children().map((child) => child.pid!)
    const [url] = await urls()
    const half = serveInTwo(100_000)
    origin.behave(half.behaviour)
    const running = await request(`${url}/dash/a`, { dispatcher: agent, reset: true })
    const done = stopInPhases(stopped.phases, log)
    await until('not ready', async () => (await admin('/readyz')).status === 503)
    await until('the idle worker to be gone', () => !alive(pids[2]!))
    expect(alive(pids[0]!) && alive(pids[1]!)).toBe(true)
    half.release()
    expect(Buffer.from(await running.body.arrayBuffer())).toEqual(bytesOf('/dash/a', BODY_LENGTH))
    expect(await done).toBe(true)
    expect(pids.some(alive)).toBe(false)
    expect(existsSync(dirname(stopped.socketPath))).toBe(false)
  })

  describe('as a process', () => {
    let child: ChildProcess
    const lines: Record<string, unknown>[] = []

    const run = async () => {
      lines.length = 0
      child = spawn(process.execPath, [SUPERVISOR, JSON.stringify(config())], { stdio: ['ignore', 'pipe', 'inherit'] })
      createInterface({ input: child.stdout! }).on('line', (line) => lines.push(JSON.parse(line)))
      const ready = await until('ready', () => lines[0])
      return ready as unknown as { children: { name: string; pid: number }[]; socketPath: string }
    }
    afterEach(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    })

    it('that is killed leaves no process and no socket behind', async () => {
      const { children, socketPath } = await run()
      expect(existsSync(socketPath)).toBe(true)
      child.kill('SIGKILL')
      await until('all to be gone', () => !children.some(({ pid }) => alive(pid)), 5000)
      await until('the folder to be gone', () => !existsSync(dirname(socketPath)), 5000)
    })

    it('names itself and its children, and keeps the socket to itself', async () => {
      const { children, socketPath } = await run()
      const titles = [child.pid!, ...children.map(({ pid }) => pid)].map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
      expect(titles.map((title) => title.replaceAll('\0', ' ').trim())).toEqual([
        'toy-edge: supervisor',
        'toy-edge: keeper',
        'toy-edge: worker 1',
        'toy-edge: worker 2',
      ])
      const { mode } = await import('node:fs').then(({ statSync }) => statSync(dirname(socketPath)))
      expect(mode & 0o777).toBe(0o700)
    })

    it('reloads on SIGHUP and stops all on SIGTERM, also when its children get the signals too', async () => {
      const { children } = await run()
      for (const { pid } of children) for (const signal of ['SIGHUP', 'SIGTERM', 'SIGUSR1'] as const) process.kill(pid, signal)
      child.kill('SIGHUP')
      await until('the reload', () => lines.find((line) => line.reloaded !== undefined))
      expect(lines.at(-1)).toEqual({ reloaded: true })
      child.kill('SIGTERM')
      expect(await once(child, 'exit')).toEqual([0, null])
      expect(children.some(({ pid }) => alive(pid))).toBe(false)
    })
  })
})

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
