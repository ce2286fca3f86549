import { once } from 'node:events'
import { connect } from 'node:net'
import { MillraceError } from '@millrace/common/errors'
import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import type { Opened } from '../src/keeper/contract.js'
import { PROTOCOL } from '../src/keeper/ipc/messages.js'
import { asking, HandFill, META } from './hand-keeper.js'
import { frame, hash, keeperIpc } from './keeper-ipc.js'

describe('a keeper in another process', () => {
  const ipc = keeperIpc()
  const { purges, late, faults, worker, rawWorker } = ipc

  describe('with a worker that does wrong', () => {
    it.each([
      ['nonsense', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
      ['an open before its hello', frame({ t: 'ping' })],
      ['another protocol', frame({ t: 'hello', protocol: 99, worker: 'w' })],
      ['an unknown message', frame({ t: 'hello', protocol: PROTOCOL, worker: 'w' }, { t: 'shutdown' })],
    ])('closes its connection on %s and serves the others', async (_what, bytes) => {
      const { remote } = worker()
      await remote.connected()
      const socket = connect(ipc.path)
      socket.resume()
      socket.write(bytes)
      await once(socket, 'close')
      expect(faults.map((fault) => (fault as MillraceError).code)).toEqual(['bad-frame'])
      expect(await remote.open(asking('/dash/a'))).toEqual({ kind: 'stored', revalidated: false })
    })

    it('refuses an open that is none, for its number alone: the connection and what runs over it live on', async () => {
      const odd = await rawWorker('worker-1.1')
      odd.say({ t: 'open', n: 7, request: { ...asking('/dash/a'), order: 'o1' } }, { t: 'open', n: 8, request: asking('/dash/a') })
      await until('both answers', () => odd.frames.some((entry) => entry.n === 8))
      const answers = odd.frames.filter((entry) => entry.t === 'refused' || entry.t === 'opened')
      expect(answers).toMatchObject([
        { t: 'refused', n: 7, error: { code: 'bad-frame' } },
        { t: 'opened', n: 8 },
      ])
      expect([ipc.keeper.opens.length, faults]).toEqual([1, []])
    })

    it('is not asked what cannot cross to it: such a request passes', async () => {
      const { remote } = worker()
      await remote.connected()
      const upstream = { mode: 'generic' as const, path: '/app/a', headers: [['x-odd', 'a\u0100']] as [string, string][] }
      expect(await remote.open({ ...asking('/app/a'), upstream })).toEqual({ kind: 'pass', reason: 'not-now' })
      expect([ipc.keeper.opens, faults, remote.there]).toEqual([[], [], true])
    })

    it('tells a worker that stopped reading only the latest offset of each fill, and forgets it when it leaves', async () => {
      const fill = new HandFill()
      ipc.keeper.answer = () => ({ kind: 'fill', fill, led: true })
      const stalled = await rawWorker('worker-1.1')
      const { remote } = worker('worker-2.1')
      stalled.say({ t: 'open', n: 1, request: asking('/dash/a') })
      const opened = (await remote.open(asking('/dash/a'))) as Opened & { kind: 'fill' }
      fill.begin(new Uint8Array(1))
      await opened.fill.head
      await until('the head', () => stalled.frames.some((entry) => entry.t === 'head'))
      stalled.socket.pause()
      // Fills the socket's buffers: from then on nothing more goes out to it.
      for (let i = 0; i < 200_000; i += 10_000) {
        ipc.server.gone(Array.from({ length: 10_000 }, (_, k) => hash(i + k)))
        await new Promise(setImmediate)
      }
      for (let at = 2; at <= 20_000; at++) {
        fill.grow(at)
        if (at % 10 === 0) await new Promise(setImmediate)
      }
      await opened.fill.progress(19_999)
      expect(opened.fill.available).toBe(20_000)
      stalled.socket.resume()
      fill.grow(20_001, 'complete')
      await until('the end', () => JSON.stringify(stalled.frames.at(-1)).includes('complete'))
      const growth = stalled.frames.filter((entry) => entry.t === 'growth')
      expect(growth.at(-1)!.fills).toEqual([[1, 20_001, 'complete']])
      expect(growth.length).toBeLessThanOrEqual(3)
      // Of 200,000 hashes it is told those that found room, and then that everything may have gone.
      expect(stalled.frames.filter((entry) => entry.t === 'gone').length).toBeLessThan(12)
      expect(stalled.frames.filter((entry) => entry.t === 'reset')).toHaveLength(1)
      stalled.socket.destroy()
      await until('the connection to be forgotten', () => ipc.server.workers.length === 1)
      expect(ipc.server.watchedFills).toBe(0)
    })

    it('asks no further questions of one that reads no answers, until it reads', async () => {
      const asker = await rawWorker('worker-1.1')
      asker.socket.pause()
      const long = 'x'.repeat(500)
      ipc.keeper.answer = () =>
        Promise.reject(new MillraceError(long, { code: 'edge-busy', source: 'internal', retryable: true, status: 503 }))
      const total = 50_000
      for (let n = 0; n < total; n += 500) {
        asker.say(...Array.from({ length: 500 }, (_, i) => ({ t: 'open', n: n + i, request: asking('/dash/a') })))
        await new Promise(setImmediate)
      }
      let last = -1
      await until('the keeper to stop reading', () => {
        const still = ipc.keeper.opens.length === last
        last = ipc.keeper.opens.length
        return still
      })
      expect(ipc.keeper.opens.length).toBeLessThan(total / 2)
      asker.socket.resume()
      await until('all answers', () => asker.frames.filter((entry) => entry.t === 'refused').length === total)
    })
  })

  describe('that purges', () => {
    it('reports a worker that does not confirm, and answers when that one is dead', async () => {
      const stuck = await rawWorker('worker-1.1')
      const { remote, told } = worker('worker-2.1')
      await remote.connected()
      ipc.server.setWorkers(['worker-1.1', 'worker-2.1'])
      const purged = ipc.server.broadcastPurge('p1')
      await until('the report', () => late.length === 1)
      expect(late).toEqual([['worker-1.1']])
      expect(told.purged).toEqual(['p1'])
      ipc.server.setWorkers(['worker-2.1'])
      stuck.socket.destroy()
      expect(await purged).toBe(1)
    })

    it('says that it is not done when a worker neither confirms nor dies', async () => {
      await rawWorker('worker-1.1')
      await expect(ipc.server.broadcastPurge('p1')).rejects.toMatchObject({ code: 'purge-incomplete', status: 503 })
    })

    it('waits for a worker that lives but is not connected: it serves from its memory', async () => {
      ipc.server.setWorkers(['worker-1.1'])
      let answered = false
      purges.push('p1')
      const purged = ipc.server.broadcastPurge('p1').finally(() => {
        answered = true
      })
      await until('the report', () => late.length === 1)
      expect(answered).toBe(false)
      const { told } = worker('worker-1.1')
      expect(await purged).toBe(1)
      expect(told.purged).toEqual(['p1'])
    })

    it('is answered when every worker has it in force', async () => {
      const workers = [worker('worker-1.1'), worker('worker-2.1')]
      await Promise.all(workers.map(({ remote }) => remote.connected()))
      expect(await ipc.server.broadcastPurge('p1')).toBe(2)
      for (const { told } of workers) expect(told.purged).toEqual(['p1'])
    })

    it('gives a worker that connects everything that is in force, however much', async () => {
      for (let i = 0; i < 40_000; i++) purges.push(`{"n":${i},"scope":"video","videoId":"01hzy3v8k2m4n6p8q0r2s4t6v8"}`)
      ipc.server.disksOut(['/cache/2'])
      const { remote, told } = worker()
      await remote.connected()
      expect(told.purged).toEqual(purges)
      expect(told).toMatchObject({ out: ['/cache/2'], resets: 0 })
      // Not all at once, for which everything else would wait.
      expect(told.restored).toBeGreaterThan(10)
    })
  })

  it("passes on the keeper's refusals with code and status", async () => {
    ipc.keeper.answer = () => {
      throw new MillraceError('full', { code: 'edge-busy', source: 'internal', retryable: true, status: 503 })
    }
    await expect(worker().remote.open(asking('/dash/a'))).rejects.toMatchObject({ code: 'edge-busy', status: 503, message: 'full' })
  })

  it('gives head, first bytes and growth of one fill to every request of every worker', async () => {
    const fill = new HandFill()
    let leads = true
    ipc.keeper.answer = () => {
      const opened = { kind: 'fill', fill, led: leads } as const
      leads = false
      return opened
    }
    const workers = [worker('worker-1.1'), worker('worker-2.1')]
    const opened = await Promise.all(workers.flatMap(({ remote }) => Array.from({ length: 500 }, () => remote.open(asking('/dash/a')))))
    expect(ipc.keeper.opens[0]).toEqual(asking('/dash/a'))
    expect(opened.filter((each) => each.kind === 'fill' && each.led)).toHaveLength(1)
    expect(ipc.server.watchedFills).toBe(1)
    const fills = new Set(opened.map((each) => (each as Opened & { kind: 'fill' }).fill))
    expect(fills.size).toBe(2)
    const first = Buffer.from('the first bytes')
    fill.begin(first)
    for (const remote of fills) {
      expect(await remote.head).toEqual({
        kind: 'ready',
        meta: META,
        cause: 'cold',
        first,
        location: { kind: 'file', path: '/cache/tmp/1', bodyOffset: 4096 },
      })
      expect(remote.available).toBe(first.length)
    }
    const grown = Promise.all([...fills].map((remote) => remote.progress(999)))
    fill.grow(500)
    fill.grow(1000, 'complete')
    await grown
    for (const remote of fills) expect(remote).toMatchObject({ available: 1000, state: 'complete' })
    await until('the fill to be forgotten', () => ipc.server.watchedFills === 0)
    // One who comes to a fill that has ended meanwhile still learns all of it.
    const last = (await workers[0]!.remote.open(asking('/dash/a'))) as Opened & { kind: 'fill' }
    expect(await last.fill.head).toMatchObject({ kind: 'ready' })
    expect(last.fill).toMatchObject({ available: 1000, state: 'complete' })
  })

  it('follows a fill no further that has no body for these requests, even if it goes on for others', async () => {
    const fill = new HandFill()
    ipc.keeper.answer = () => ({ kind: 'fill', fill, led: false })
    const opened = (await worker().remote.open(asking('/dash/a'))) as Opened & { kind: 'fill' }
    fill.tell({ kind: 'pass', reason: 'lock-timeout' })
    expect(await opened.fill.head).toEqual({ kind: 'pass', reason: 'lock-timeout' })
    await until('the fill to be forgotten', () => ipc.server.watchedFills === 0)
    expect(fill.state).toBe('running')
  })

  it('tells that an entry is gone before it answers that it is stored anew', async () => {
    const { remote, told } = worker()
    await remote.connected()
    ipc.keeper.answer = () => {
      ipc.server.gone([hash(7)])
      return { kind: 'stored', revalidated: true }
    }
    expect(await remote.open(asking('/dash/a'))).toEqual({ kind: 'stored', revalidated: true })
    expect(told.gone).toEqual([hash(7)])
    ipc.server.disksOut(['/cache/1'])
    await until('the disks', () => told.out.length === 1)
  })

  it('gets reports of use in batches, of damage with their id, and what to prefetch', async () => {
    const { remote } = worker()
    await remote.connected()
    for (let i = 0; i < 600; i++) remote.used(hash(i))
    remote.damaged(hash(3), 'some-id')
    remote.prefetch(asking('/dash/next'))
    await until(
      'the reports',
      () => ipc.keeper.usedHashes.length === 600 && ipc.keeper.damagedEntries.length === 1 && ipc.keeper.prefetched.length === 1,
    )
    expect(ipc.keeper.damagedEntries).toEqual([[hash(3), 'some-id']])
    expect(ipc.keeper.prefetched).toEqual([asking('/dash/next')])
  })
})
