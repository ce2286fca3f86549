import { createServer, type Socket } from 'node:net'
import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import type { Opened } from '../src/keeper/contract.js'
import { asking, HandFill } from './hand-keeper.js'
import { hash, keeperIpc } from './keeper-ipc.js'

describe('a keeper in another process', () => {
  const ipc = keeperIpc()
  const { purges, faults, listen, worker } = ipc

  describe('that is away', () => {
    it('makes a request wait for it, and lets it pass when it stays away; the next ones at once', async () => {
      const { remote } = worker('worker-1.1', 400)
      await remote.connected()
      await ipc.server.close()
      await until('the loss', () => !remote.there)
      const began = performance.now()
      const ask = async () => [await remote.open(asking('/dash/a')), performance.now() - began]
      const pass = { kind: 'pass', reason: 'not-now' }
      const [first, after] = await ask()
      expect(first).toEqual(pass)
      expect(after).toBeGreaterThan(300)
      const [next, later] = await ask()
      expect(next).toEqual(pass)
      expect(Number(later) - Number(after)).toBeLessThan(200)
    })

    it('is found again: what was asked is asked again, and what was held is reset', async () => {
      const { remote, told } = worker()
      await remote.connected()
      ipc.keeper.answer = () => new Promise(() => {})
      const asked = remote.open(asking('/dash/a'))
      await until('the open', () => ipc.keeper.opens.length === 1)
      purges.push('p1')
      await ipc.server.close()
      ipc.keeper.answer = () => ({ kind: 'missing' })
      await listen()
      expect(await asked).toEqual({ kind: 'missing' })
      expect(told).toMatchObject({ resets: 1, purged: ['p1'], restored: 2 })
    })

    it('is asked a pending request once more at most: what is lost with two of them passes', async () => {
      const { remote } = worker()
      await remote.connected()
      ipc.keeper.answer = () => new Promise(() => {})
      const asked = remote.open(asking('/dash/a'))
      for (const opens of [1, 2]) {
        await until('the open', () => ipc.keeper.opens.length === opens)
        await ipc.server.close()
        await listen()
      }
      expect(await asked).toEqual({ kind: 'pass', reason: 'not-now' })
      expect(ipc.keeper.opens.length).toBe(2)
    })

    it('breaks the fills that ran in it, as lost', async () => {
      const { remote } = worker()
      const told = new HandFill()
      const untold = new HandFill()
      ipc.keeper.answer = ({ key }) => ({ kind: 'fill', fill: key.text === '/dash/a' ? told : untold, led: true })
      const first = (await remote.open(asking('/dash/a'))) as Opened & { kind: 'fill' }
      const second = (await remote.open(asking('/dash/b'))) as Opened & { kind: 'fill' }
      told.begin(new Uint8Array(10))
      await first.fill.head
      await ipc.server.close()
      await first.fill.progress(10)
      expect(first.fill).toMatchObject({ state: 'broken', lost: true, available: 10 })
      expect(await second.fill.head).toEqual({ kind: 'failed', attempts: [] })
      expect(second.fill).toMatchObject({ state: 'broken', lost: true })
    })

    it('gets the reports of use when it is back', async () => {
      const { remote } = worker()
      await remote.connected()
      await ipc.server.close()
      await until('the loss', () => !remote.there)
      for (let i = 0; i < 2000; i++) remote.used(hash(i))
      remote.damaged(hash(1), 'id')
      await listen()
      await until('the reports', () => ipc.keeper.usedHashes.length === 2000)
      expect(ipc.keeper.damagedEntries).toEqual([[hash(1), 'id']])
    })

    it('is also one that is connected but says nothing', async () => {
      await ipc.server.close()
      const silent = createServer(() => {})
      const sockets = new Set<Socket>()
      silent.on('connection', (socket) => {
        sockets.add(socket)
        socket.resume()
      })
      await new Promise<void>((resolve) => silent.listen(ipc.path, resolve))
      const { remote } = worker('worker-1.1', 200)
      expect(await remote.open(asking('/dash/a'))).toEqual({ kind: 'pass', reason: 'not-now' })
      await until('the fault', () => faults.some((fault) => /silent/.test(fault.message)))
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => silent.close(resolve))
      await listen()
      await until('the keeper', () => remote.there)
      expect(await remote.open(asking('/dash/a'))).toEqual({ kind: 'stored', revalidated: false })
    })
  })
})
