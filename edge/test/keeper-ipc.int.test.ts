import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MillraceError } from '@millrace/common/errors'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Opened } from '../src/keeper/contract.js'
import { RemoteKeeper } from '../src/keeper/ipc/client.js'
import { PROTOCOL } from '../src/keeper/ipc/messages.js'
import { KeeperServer } from '../src/keeper/ipc/server.js'
import { FrameDecoder, FrameWriter } from '../src/keeper/ipc/wire.js'
import { asking, HandFill, HandKeeper, META } from './hand-keeper.js'

const hash = (n: number) => n.toString(16).padStart(32, '0')

describe('a keeper in another process', () => {
  let folder: string
  let path: string
  let keeper: HandKeeper
  let server: KeeperServer | undefined
  let purges: string[]
  let late: string[][]
  const faults: Error[] = []
  const open: { close(): void }[] = []

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-ipc-'))
    path = join(folder, 'keeper.sock')
    keeper = new HandKeeper()
    purges = []
    late = []
    faults.length = 0
    server = await listen()
  })
  afterEach(async () => {
    for (const each of open.splice(0)) each.close()
    await server?.close()
    await rm(folder, { recursive: true })
  })

  const listen = () =>
    KeeperServer.listen({
      keeper,
      path,
      purges: () => purges,
      times: { lateMs: 100, timeoutMs: 1000 },
      onLate: (workers) => late.push(workers),
      onFault: (error) => faults.push(error),
    })

  const worker = (name = 'worker-1.1', keeperWaitMs = 3000) => {
    const told = { gone: [] as string[], out: [] as string[], resets: 0, purged: [] as string[], restored: 0 }
    const remote = new RemoteKeeper({
      path,
      worker: name,
      keeperWaitMs,
      listener: {
        gone: (hashes) => told.gone.push(...hashes),
        disksOut: (paths) => {
          told.out = [...paths]
        },
        reset: () => {
          told.resets++
        },
      },
      purges: {
        restore: (lines) => {
          told.purged.push(...lines)
          told.restored++
        },
        apply: (line) => told.purged.push(line),
      },
      onFault: (error) => faults.push(error),
    })
    open.push(remote)
    return { remote, told }
  }

  /** A worker that speaks the wire by hand and reads only when told. */
  const rawWorker = async (name: string) => {
    const socket = connect(path)
    await once(socket, 'connect')
    const decoder = new FrameDecoder()
    const frames: { t: string; [key: string]: unknown }[] = []
    socket.on('data', (chunk) => {
      for (const { head } of decoder.push(chunk as Buffer)) frames.push(head as { t: string })
    })
    const say = (...messages: object[]) => {
      const writer = new FrameWriter()
      for (const message of messages) writer.push(message)
      socket.write(writer.take())
    }
    say({ t: 'hello', protocol: PROTOCOL, worker: name })
    await until('the welcome', () => frames.find((frame) => frame.t === 'purges'))
    open.push({ close: () => socket.destroy() })
    return { socket, frames, say }
  }

  describe('that is away', () => {
    it('makes a request wait for it, and lets it pass when it stays away; the next ones at once', async () => {
      const { remote } = worker('worker-1.1', 400)
      await remote.connected()
      await server!.close()
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
      keeper.answer = () => new Promise(() => {})
      const asked = remote.open(asking('/dash/a'))
      await until('the open', () => keeper.opens.length === 1)
      purges.push('p1')
      await server!.close()
      keeper.answer = () => ({ kind: 'missing' })
      server = await listen()
      expect(await asked).toEqual({ kind: 'missing' })
      expect(told).toMatchObject({ resets: 1, purged: ['p1'], restored: 2 })
    })

    it('is asked a pending request once more at most: what is lost with two of them passes', async () => {
      const { remote } = worker()
      await remote.connected()
      keeper.answer = () => new Promise(() => {})
      const asked = remote.open(asking('/dash/a'))
      for (const opens of [1, 2]) {
        await until('the open', () => keeper.opens.length === opens)
        await server!.close()
        server = await listen()
      }
      expect(await asked).toEqual({ kind: 'pass', reason: 'not-now' })
      expect(keeper.opens.length).toBe(2)
    })

    it('breaks the fills that ran in it, as lost', async () => {
      const { remote } = worker()
      const told = new HandFill()
      const untold = new HandFill()
      keeper.answer = ({ key }) => ({ kind: 'fill', fill: key.text === '/dash/a' ? told : untold, led: true })
      const first = (await remote.open(asking('/dash/a'))) as Opened & { kind: 'fill' }
      const second = (await remote.open(asking('/dash/b'))) as Opened & { kind: 'fill' }
      told.begin(new Uint8Array(10))
      await first.fill.head
      await server!.close()
      await first.fill.progress(10)
      expect(first.fill).toMatchObject({ state: 'broken', lost: true, available: 10 })
      expect(await second.fill.head).toEqual({ kind: 'failed', attempts: [] })
      expect(second.fill).toMatchObject({ state: 'broken', lost: true })
    })

    it('gets the reports of use when it is back', async () => {
      const { remote } = worker()
      await remote.connected()
      await server!.close()
      await until('the loss', () => !remote.there)
      for (let i = 0; i < 2000; i++) remote.used(hash(i))
      remote.damaged(hash(1), 'id')
      server = await listen()
      await until('the reports', () => keeper.usedHashes.length === 2000)
      expect(keeper.damagedEntries).toEqual([[hash(1), 'id']])
    })

    it('is also one that is connected but says nothing', async () => {
      await server!.close()
      const silent = createServer(() => {})
      const sockets = new Set<Socket>()
      silent.on('connection', (socket) => {
        sockets.add(socket)
        socket.resume()
      })
      await new Promise<void>((resolve) => silent.listen(path, resolve))
      const { remote } = worker('worker-1.1', 200)
      expect(await remote.open(asking('/dash/a'))).toEqual({ kind: 'pass', reason: 'not-now' })
      await until('the fault', () => faults.some((fault) => /silent/.test(fault.message)))
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => silent.close(resolve))
      server = await listen()
      await until('the keeper', () => remote.there)
      expect(await remote.open(asking('/dash/a'))).toEqual({ kind: 'stored', revalidated: false })
    })
  })

  describe('with a worker that does wrong', () => {
    it.each([
      ['nonsense', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
      ['an open before its hello', frame({ t: 'ping' })],
      ['another protocol', frame({ t: 'hello', protocol: 99, worker: 'w' })],
      ['an unknown message', frame({ t: 'hello', protocol: PROTOCOL, worker: 'w' }, { t: 'shutdown' })],
    ])('closes its connection on %s and serves the others', async (_what, bytes) => {
      const { remote } = worker()
      await remote.connected()
      const socket = connect(path)
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
      expect([keeper.opens.length, faults]).toEqual([1, []])
    })

    it('is not asked what cannot cross to it: such a request passes', async () => {
      const { remote } = worker()
      await remote.connected()
      const upstream = { mode: 'generic' as const, path: '/app/a', headers: [['x-odd', 'a\u0100']] as [string, string][] }
      expect(await remote.open({ ...asking('/app/a'), upstream })).toEqual({ kind: 'pass', reason: 'not-now' })
      expect([keeper.opens, faults, remote.there]).toEqual([[], [], true])
    })

    it('tells a worker that stopped reading only the latest offset of each fill, and forgets it when it leaves', async () => {
      const fill = new HandFill()
      keeper.answer = () => ({ kind: 'fill', fill, led: true })
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
        server!.gone(Array.from({ length: 10_000 }, (_, k) => hash(i + k)))
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
      await until('the connection to be forgotten', () => server!.workers.length === 1)
      expect(server!.watchedFills).toBe(0)
    })

    it('asks no further questions of one that reads no answers, until it reads', async () => {
      const asker = await rawWorker('worker-1.1')
      asker.socket.pause()
      const long = 'x'.repeat(500)
      keeper.answer = () => Promise.reject(new MillraceError(long, { code: 'edge-busy', source: 'internal', retryable: true, status: 503 }))
      const total = 50_000
      for (let n = 0; n < total; n += 500) {
        asker.say(...Array.from({ length: 500 }, (_, i) => ({ t: 'open', n: n + i, request: asking('/dash/a') })))
        await new Promise(setImmediate)
      }
      let last = -1
      await until('the keeper to stop reading', () => {
        const still = keeper.opens.length === last
        last = keeper.opens.length
        return still
      })
      expect(keeper.opens.length).toBeLessThan(total / 2)
      asker.socket.resume()
      await until('all answers', () => asker.frames.filter((entry) => entry.t === 'refused').length === total)
    })
  })

  describe('that purges', () => {
    it('reports a worker that does not confirm, and answers when that one is dead', async () => {
      const stuck = await rawWorker('worker-1.1')
      const { remote, told } = worker('worker-2.1')
      await remote.connected()
      server!.setWorkers(['worker-1.1', 'worker-2.1'])
      const purged = server!.broadcastPurge('p1')
      await until('the report', () => late.length === 1)
      expect(late).toEqual([['worker-1.1']])
      expect(told.purged).toEqual(['p1'])
      server!.setWorkers(['worker-2.1'])
      stuck.socket.destroy()
      expect(await purged).toBe(1)
    })

    it('says that it is not done when a worker neither confirms nor dies', async () => {
      await rawWorker('worker-1.1')
      await expect(server!.broadcastPurge('p1')).rejects.toMatchObject({ code: 'purge-incomplete', status: 503 })
    })

    it('waits for a worker that lives but is not connected: it serves from its memory', async () => {
      server!.setWorkers(['worker-1.1'])
      let answered = false
      purges.push('p1')
      const purged = server!.broadcastPurge('p1').finally(() => {
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
      expect(await server!.broadcastPurge('p1')).toBe(2)
      for (const { told } of workers) expect(told.purged).toEqual(['p1'])
    })

    it('gives a worker that connects everything that is in force, however much', async () => {
      for (let i = 0; i < 40_000; i++) purges.push(`{"n":${i},"scope":"video","videoId":"01hzy3v8k2m4n6p8q0r2s4t6v8"}`)
      server!.disksOut(['/cache/2'])
      const { remote, told } = worker()
      await remote.connected()
      expect(told.purged).toEqual(purges)
      expect(told).toMatchObject({ out: ['/cache/2'], resets: 0 })
      // Not all at once, for which everything else would wait.
      expect(told.restored).toBeGreaterThan(10)
    })
  })

  it("passes on the keeper's refusals with code and status", async () => {
    keeper.answer = () => {
      throw new MillraceError('full', { code: 'edge-busy', source: 'internal', retryable: true, status: 503 })
    }
    await expect(worker().remote.open(asking('/dash/a'))).rejects.toMatchObject({ code: 'edge-busy', status: 503, message: 'full' })
  })

  it('gives head, first bytes and growth of one fill to every request of every worker', async () => {
    const fill = new HandFill()
    let leads = true
    keeper.answer = () => {
      const opened = { kind: 'fill', fill, led: leads } as const
      leads = false
      return opened
    }
    const workers = [worker('worker-1.1'), worker('worker-2.1')]
    const opened = await Promise.all(workers.flatMap(({ remote }) => Array.from({ length: 500 }, () => remote.open(asking('/dash/a')))))
    expect(keeper.opens[0]).toEqual(asking('/dash/a'))
    expect(opened.filter((each) => each.kind === 'fill' && each.led)).toHaveLength(1)
    expect(server!.watchedFills).toBe(1)
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
    await until('the fill to be forgotten', () => server!.watchedFills === 0)
    // One who comes to a fill that has ended meanwhile still learns all of it.
    const last = (await workers[0]!.remote.open(asking('/dash/a'))) as Opened & { kind: 'fill' }
    expect(await last.fill.head).toMatchObject({ kind: 'ready' })
    expect(last.fill).toMatchObject({ available: 1000, state: 'complete' })
  })

  it('follows a fill no further that has no body for these requests, even if it goes on for others', async () => {
    const fill = new HandFill()
    keeper.answer = () => ({ kind: 'fill', fill, led: false })
    const opened = (await worker().remote.open(asking('/dash/a'))) as Opened & { kind: 'fill' }
    fill.tell({ kind: 'pass', reason: 'lock-timeout' })
    expect(await opened.fill.head).toEqual({ kind: 'pass', reason: 'lock-timeout' })
    await until('the fill to be forgotten', () => server!.watchedFills === 0)
    expect(fill.state).toBe('running')
  })

  it('tells that an entry is gone before it answers that it is stored anew', async () => {
    const { remote, told } = worker()
    await remote.connected()
    keeper.answer = () => {
      server!.gone([hash(7)])
      return { kind: 'stored', revalidated: true }
    }
    expect(await remote.open(asking('/dash/a'))).toEqual({ kind: 'stored', revalidated: true })
    expect(told.gone).toEqual([hash(7)])
    server!.disksOut(['/cache/1'])
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
      () => keeper.usedHashes.length === 600 && keeper.damagedEntries.length === 1 && keeper.prefetched.length === 1,
    )
    expect(keeper.damagedEntries).toEqual([[hash(3), 'some-id']])
    expect(keeper.prefetched).toEqual([asking('/dash/next')])
  })
})

function frame(...messages: object[]): Buffer {
  const writer = new FrameWriter()
  for (const message of messages) writer.push(message)
  return writer.take()
}
