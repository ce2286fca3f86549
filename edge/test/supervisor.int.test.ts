import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { MillraceError } from '@millrace/common/errors'
import { stopInPhases } from '@millrace/common/lifecycle'
import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { afterEach, describe, expect, it } from 'vitest'
import { BODY_LENGTH, bytesOf, serveInTwo } from './origin.js'
import { alive, log, toyEdge } from './toy-edge.js'

const SUPERVISOR = fileURLToPath(new URL('fixtures/supervisor.mjs', import.meta.url))

describe('the supervisor of keeper and workers', () => {
  const toy = toyEdge()
  const { config, start, pidOf, statusOf, keeperStatus, urls, get, admin, metric, replaced } = toy
  const allReady = () =>
    until('all to be ready', () => {
      const children = toy.supervisor.children()
      return children.length === 3 && children.every((child) => child.state === 'ready')
    })

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
      const error = await start({ entry: join(toy.folder, 'nothing.mjs'), limits }).catch((caught: MillraceError) => caught)
      expect(error).toMatchObject({ code: 'child-died', detail: expect.stringContaining('nothing.mjs') })
    })
  })

  describe('purges', () => {
    it('count as done only without a worker that does not confirm: it is killed, and knows of them when it is back', async () => {
      await start()
      const pid = pidOf('worker-2')
      process.kill(pid, 'SIGSTOP')
      expect(await toy.supervisor.askKeeper('purge', 'p1', 6000)).toBe(1)
      expect((await statusOf('worker-1')).purged).toEqual(['p1'])
      await replaced('worker-2', pid)
      expect((await statusOf('worker-2')).purged).toEqual(['p1'])
      expect(await metric('millrace_edge_child_restarts_total{role="worker",reason="late"')).toBe(1)
    })

    it('during the restart of a worker reach it by the snapshot', async () => {
      await start()
      const pid = pidOf('worker-1')
      process.kill(pid, 'SIGKILL')
      await toy.supervisor.askKeeper('purge', 'p1', 6000)
      expect((await statusOf('worker-2')).purged).toEqual(['p1'])
      await replaced('worker-1', pid)
      expect((await statusOf('worker-1')).purged).toEqual(['p1'])
    })

    it('are in force in every worker when they are answered', async () => {
      await start()
      expect(await toy.supervisor.askKeeper('purge', 'p1')).toBe(2)
      for (const name of ['worker-1', 'worker-2']) expect((await statusOf(name)).purged).toEqual(['p1'])
    })
  })

  it('makes one fill of 1,000 requests for one key at two workers', async () => {
    await start()
    const [one, two] = await urls()
    const half = serveInTwo(100_000)
    toy.origin.behave(half.behaviour)
    const answers = Promise.all(Array.from({ length: 1000 }, (_, i) => get(`${i % 2 ? one : two}/dash/a`)))
    await until('all to have asked', async () => (await keeperStatus()).opens === 1000)
    half.release()
    const wanted = bytesOf('/dash/a', BODY_LENGTH)
    const got = await answers
    expect(got.every(({ status, body }) => status === 200 && body.equals(wanted))).toBe(true)
    expect(got.filter(({ cache }) => cache === 'miss')).toHaveLength(1)
    expect(toy.origin.requests).toEqual(['/dash/a'])
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
      await expect(toy.supervisor.reload(config({ refusedBy: 'worker-2' }))).rejects.toMatchObject({ message: "worker-2 can't" })
      for (const name of ['worker-1', 'worker-2']) expect((await statusOf(name)).config).toEqual(config())
      const pid = pidOf('worker-2')
      process.kill(pid, 'SIGKILL')
      await replaced('worker-2', pid)
      expect((await statusOf('worker-2')).config).toEqual(config())
    })

    it('that the first worker cannot put into force changes nothing anywhere, and says why', async () => {
      await start()
      const pids = ['keeper', 'worker-1', 'worker-2'].map(pidOf)
      await expect(toy.supervisor.reload(config({ failsIn: 'worker-1' }))).rejects.toMatchObject({ code: 'listen-failed' })
      for (const name of ['worker-1', 'worker-2']) expect((await statusOf(name)).config).toEqual(config())
      expect(['keeper', 'worker-1', 'worker-2'].map(pidOf)).toEqual(pids)
      await toy.supervisor.reload(config({ limit: 2 }))
      expect((await statusOf('worker-1')).config).toEqual(config({ limit: 2 }))
    })

    it('that a later worker cannot put into force costs that one its process: it comes back with it', async () => {
      await start()
      const pid = pidOf('worker-2')
      await toy.supervisor.reload(config({ failsIn: 'worker-2' }))
      await replaced('worker-2', pid)
      for (const name of ['worker-1', 'worker-2']) expect((await statusOf(name)).config).toMatchObject({ failsIn: 'worker-2' })
    })

    it('is in force in every child, also in one that is replaced later', async () => {
      await start()
      const next = config({ limit: 2 })
      await toy.supervisor.reload(next)
      for (const name of ['worker-1', 'worker-2']) expect((await statusOf(name)).config).toEqual(next)
      const pid = pidOf('worker-1')
      process.kill(pid, 'SIGKILL')
      await replaced('worker-1', pid)
      expect((await statusOf('worker-1')).config).toEqual(next)
      await toy.supervisor.reopenLogs()
      expect((await statusOf('worker-2')).reopened).toBe(1)
    })
  })

  it('puts a reload into force in a child that is just starting, too', async () => {
    await start()
    const pid = pidOf('worker-1')
    process.kill(pid, 'SIGKILL')
    await until('the start', () => toy.supervisor.children()[1]!.state === 'starting')
    const next = config({ limit: 3 })
    await toy.supervisor.reload(next)
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
        const now = toy.supervisor.children().find((child) => child.name === name)
        return now?.state === 'ready' && now.pid !== pid
      })
      expect([...seen]).toEqual([200])
    })

    it('with all workers on the port of the first', async () => {
      await start()
      expect(await admin('/readyz')).toMatchObject({ status: 200 })
      expect((await statusOf('worker-2')).told).toBe(toy.supervisor.address.port)
    })
  })

  it('stops in order: not ready, workers after their transfers, keeper, socket', async () => {
    await start()
    const stopped = toy.supervisor
    const pids = stopped.children().map((child) => child.pid!)
    const [url] = await urls()
    const half = serveInTwo(100_000)
    toy.origin.behave(half.behaviour)
    const running = await request(`${url}/dash/a`, { dispatcher: toy.agent, reset: true })
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
