import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { describe, expect, it } from 'vitest'
import { BODY_LENGTH, bytesOf, serveBytes, serveInTwo } from './origin.js'
import { alive, toyEdge } from './toy-edge.js'

describe('the supervisor of keeper and workers', () => {
  const toy = toyEdge()
  const { givenUp, config, start, pidOf, statusOf, keeperStatus, urls, get, metric, replaced } = toy

  describe('whose worker cannot be started again', () => {
    const limits = { maxDeaths: 3, windowMs: 60_000, firstBackoffMs: 10, maxBackoffMs: 50 }
    const block = async (name: string) => {
      await writeFile(join(toy.folder, name), '')
      process.kill(pidOf(name), 'SIGKILL')
    }
    const deaths = () => metric('millrace_edge_child_restarts_total{role="worker",reason="died"')

    it('goes on while another one serves, tries again and again and counts it, and takes it back when it can', async () => {
      await start({ config: config({ crashWhile: toy.folder }), limits })
      const pid = pidOf('worker-1')
      const [, url] = await urls()
      await block('worker-1')
      await until('many tries', async () => (await deaths())! >= 8)
      expect(givenUp).toEqual([])
      expect(await metric('millrace_edge_children_ready{role="worker"')).toBe(1)
      expect((await get(`${url}/dash/a`)).status).toBe(200)
      await toy.supervisor.reload(config({ limit: 2, crashWhile: toy.folder }))
      expect((await statusOf('worker-2')).config).toMatchObject({ limit: 2 })
      await rm(join(toy.folder, 'worker-1'))
      await replaced('worker-1', pid)
      expect((await statusOf('worker-1')).config).toMatchObject({ limit: 2 })
    })

    it('goes on while the other one, which has died as well, is only being replaced', async () => {
      await start({ config: config({ crashWhile: toy.folder }), limits })
      await block('worker-1')
      await until('some tries', async () => (await deaths())! >= 5)
      const pid = pidOf('worker-2')
      process.kill(pid, 'SIGKILL')
      await replaced('worker-2', pid)
      expect(givenUp).toEqual([])
    })

    it('gives up when none can be started, and says why', async () => {
      await start({ config: config({ crashWhile: toy.folder }), limits })
      await block('worker-1')
      await until('some tries', async () => (await deaths())! >= 5)
      await block('worker-2')
      await until('its end', () => givenUp.length > 0)
      expect(givenUp[0]).toMatchObject({ code: 'child-died', message: expect.stringMatching(/worker-\d died: exit code 3/) })
    })

    it('stops all the same, and restarts the other ones on request no further', async () => {
      await start({ config: config({ crashWhile: toy.folder }), limits })
      await writeFile(join(toy.folder, 'worker-1'), '')
      const pid = pidOf('worker-2')
      await expect(toy.supervisor.restartWorkers()).rejects.toMatchObject({ code: 'child-died' })
      expect(pidOf('worker-2')).toBe(pid)
      await toy.supervisor.reload(config({ limit: 2, crashWhile: toy.folder }))
      expect((await statusOf('worker-2')).config).toMatchObject({ limit: 2 })
    })
  })

  describe('replaces', () => {
    it('a worker that was killed, on the same port, and no other process', async () => {
      await start()
      const before = toy.supervisor.children()
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
      toy.origin.behave(half.behaviour)
      const running = await request(`${url}/dash/a`, { dispatcher: toy.agent })
      expect(running.statusCode).toBe(200)
      const pid = pidOf('keeper')
      process.kill(pid, 'SIGKILL')
      await expect(running.body.arrayBuffer()).rejects.toThrow()
      toy.origin.behave(serveBytes())
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
      const before = toy.supervisor.children()
      const [url] = await urls()
      const half = serveInTwo(100_000)
      toy.origin.behave(half.behaviour)
      const running = await request(`${url}/dash/a`, { dispatcher: toy.agent, reset: true })
      const restarted = toy.supervisor.restartWorkers()
      await until('the first to stop', () => toy.supervisor.children()[1]!.state === 'stopping')
      expect(toy.supervisor.children()[2]).toEqual(before[2])
      half.release()
      expect(Buffer.from(await running.body.arrayBuffer())).toEqual(bytesOf('/dash/a', BODY_LENGTH))
      await restarted
      const after = toy.supervisor.children()
      expect(after.map((child) => child.state)).toEqual(['ready', 'ready', 'ready'])
      expect(after[0]!.pid).toBe(before[0]!.pid)
      for (const index of [1, 2]) expect(after[index]!.pid).not.toBe(before[index]!.pid)
      expect(await metric('toy_requests_total')).toBe(1)
      expect(await metric('millrace_edge_child_restarts_total{role="worker",reason="asked"')).toBe(2)
    })
  })
})
