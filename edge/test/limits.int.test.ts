import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { segment, startTestEdge, type TestEdge, tempFolder } from './edge.js'
import { type Behaviour, bytesOf, serveBytes, serveInTwo, startOrigin, type TestOrigin } from './origin.js'

const MIB = 1 << 20

describe('limits', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: TestEdge
  const sockets: Socket[] = []
  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
  })
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await edge.stop()
    await o1.stop()
    await folder.remove()
  })

  const start = async (limits: Record<string, unknown>, more: Record<string, unknown> = {}) => {
    edge = await startTestEdge(folder.path, [o1], { limits, ...more })
  }
  /** A client whose reading is the test's business. */
  const reader = async (path: string) => {
    const socket = connect({ port: edge.port, host: '127.0.0.1' })
    sockets.push(socket)
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    socket.write(`GET ${path} HTTP/1.1\r\nHost: e\r\n\r\n`)
    return socket
  }
  /** For objects of any size of these tests. */
  const ample = () => ({ cache: { path: folder.path, size: '64MiB', maxObject: '32MiB' }, ram: { size: '64MiB', maxObject: '32MiB' } })
  /** Asks without its bytes until the tier has it. */
  const bring = async (path: string, tier: 'disk' | 'ram') => {
    await edge.get(path, { range: 'bytes=0-0' })
    await edge.idle()
    if (tier === 'disk') return
    await until('a copy in RAM', async () => {
      await edge.get(path, { range: 'bytes=0-0' })
      return (await counted('millrace_edge_ram_objects')) === 1
    })
  }
  const counted = async (metric: string) =>
    Number(new RegExp(`^${metric}\\{.*\\} (\\d+)$`, 'm').exec((await edge.admin('/metrics')).text)?.[1])

  describe('on requests at once', () => {
    it('answer those beyond with 503 and when to come back, for hits too, and end with the transfers', async () => {
      await start({ maxRequests: 2 })
      await edge.get(`/o1${segment(1)}`)
      await edge.idle()
      const half = serveInTwo(100_000)
      o1.behave(half.behaviour)
      const running = await Promise.all([2, 3].map((number) => request(`${edge.url}/o1${segment(number)}`)))
      for (const path of [segment(1), segment(4)]) {
        const { status, headers, body } = await edge.get(`/o1${path}`)
        expect([status, headers['retry-after'], JSON.parse(body.toString()).code]).toEqual([503, '1', 'edge-busy'])
      }
      half.release()
      for (const { body } of running) await body.arrayBuffer()
      await until('room', async () => (await edge.get(`/o1${segment(1)}`)).status === 200)
      expect((await edge.admin('/metrics')).text).toMatch(/refusals_total\{code="edge-busy".*\} 2/)
    })

    it('count fills as well: one more gets 503, a request for a running one does not', async () => {
      await start({}, { fetch: { maxFills: 1 } })
      const half = serveInTwo(100_000)
      o1.behave(half.behaviour)
      const running = [await request(`${edge.url}/o1${segment(1)}`), await request(`${edge.url}/o1${segment(1)}`)]
      expect(running.map(({ headers }) => headers['x-cache'])).toEqual(['miss', 'coalesced'])
      const { status, headers } = await edge.get(`/o1${segment(2)}`)
      expect([status, headers['retry-after']]).toEqual([503, '1'])
      half.release()
      for (const { body } of running) await body.arrayBuffer()
    })
  })

  describe('on the pace of a transfer', () => {
    const RATE = MIB
    const BURST = MIB / 2
    const LENGTH = BURST + 2 * RATE

    it.each([
      ['miss', 'miss'],
      ['miss of unknown length', 'miss'],
      ['hit on disk', 'hit'],
      ['hit in RAM', 'hit'],
      ['bypass', 'bypass'],
      ['bypass of unknown length', 'bypass'],
    ])('hold for a %s within a fifth, and for each transfer by itself', async (what, phase) => {
      const headers: Record<string, string> = phase === 'bypass' ? { 'cache-control': 'no-store' } : {}
      const chunked: Behaviour = (request, response) => response.writeHead(200, headers).end(bytesOf(request.url ?? '', LENGTH))
      o1.behave(what.endsWith('unknown length') ? chunked : serveBytes(LENGTH, headers))
      await start({ transferRate: `${RATE / 1024}KiB`, transferBurst: `${BURST / 1024}KiB` }, ample())
      const path = `/o1${segment(1)}`
      if (phase === 'hit') await bring(path, what === 'hit in RAM' ? 'ram' : 'disk')
      const times = await Promise.all(
        [1, 2].map(async () => {
          const began = performance.now()
          const { headers, body } = await edge.get(path)
          expect(body.equals(bytesOf(segment(1), LENGTH))).toBe(true)
          return { seconds: (performance.now() - began) / 1000, phase: headers['x-cache'] }
        }),
      )
      expect(times.map((one) => one.phase)).toContain(phase)
      for (const { seconds } of times) {
        expect(seconds).toBeGreaterThan(((LENGTH - BURST) / RATE) * 0.8)
        expect(seconds).toBeLessThan(((LENGTH - BURST) / RATE) * 1.2 + 0.3)
      }
      if (what === 'hit in RAM')
        expect(await edge.count('sent_bytes_total', { name: 'tier', value: 'ram' })).toBeGreaterThanOrEqual(2 * LENGTH)
    })

    it('let what fits the burst go at once', async () => {
      o1.behave(serveBytes(BURST))
      await start({ transferRate: '1KiB', transferBurst: `${BURST / 1024}KiB` })
      expect((await edge.get(`/o1${segment(1)}`)).body.length).toBe(BURST)
    })
  })

  describe('on how slowly a client may read', () => {
    /** More than sockets and their buffers hold. */
    const LENGTH = 24 * MIB
    const limits = { minRate: '512KiB', minRateWindow: '1s' }
    /** Reads a little now and then, for ever. */
    const sip = async (socket: Socket) => {
      socket.pause()
      while (!socket.destroyed) {
        socket.read(16_384)
        await delay(250)
      }
    }

    it.each(['hit on disk', 'hit in RAM', 'miss', 'bypass'])('cut one that reads too little of a %s', async (what) => {
      o1.behave(serveBytes(LENGTH, what === 'bypass' ? { 'cache-control': 'no-store' } : {}))
      await start(limits, ample())
      const path = `/o1${segment(1)}`
      if (what.startsWith('hit')) await bring(path, what === 'hit in RAM' ? 'ram' : 'disk')
      const before = await counted('millrace_edge_broken_transfers_total')
      void sip(await reader(path))
      await until('the cut', async () => (await counted('millrace_edge_broken_transfers_total')) === before + 1)
      expect(await counted('millrace_edge_running_requests')).toBe(0)
    })

    it('leave one alone that waits for a slow origin', async () => {
      const length = 400_000
      const slow: Behaviour = async (request, response) => {
        const body = bytesOf(request.url ?? '', length)
        response.writeHead(200, { 'content-length': length })
        for (let at = 0; at < length; at += 100_000) {
          response.write(body.subarray(at, at + 100_000))
          await delay(900)
        }
        response.end()
      }
      o1.behave(slow)
      await start(limits)
      expect((await edge.get(`/o1${segment(1)}`)).body.equals(bytesOf(segment(1), length))).toBe(true)
    })

    it.each(['disk', 'ram'] as const)('leave one alone that reads fast enough (from %s)', async (tier) => {
      o1.behave(serveBytes(LENGTH))
      await start(limits, ample())
      await bring(`/o1${segment(1)}`, tier)
      const socket = await reader(`/o1${segment(1)}`)
      let bytes = 0
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        // About 8 MiB per second: three windows long, and always behind.
        socket.pause()
        setTimeout(() => socket.resume(), chunk.length / 8_000)
      })
      await until('the whole', () => bytes > LENGTH)
      expect(await counted('millrace_edge_broken_transfers_total')).toBe(0)
    })
  })
})
