import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { until } from '@millrace/common/testing/until'
import { Agent, request } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { cacheFiles, raw, segment, startTestEdge, type TestEdge, tempFolder, VIDEO } from './edge.js'
import { BODY_LENGTH, breakAfter, bytesOf, serveBytes, startOrigin, type TestOrigin } from './origin.js'

const wait = (ms: number) => new Promise((r) => setTimeout(r, ms))
describe('probe', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let o2: TestOrigin
  let edge: TestEdge
  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    o2 = await startOrigin()
    edge = await startTestEdge(folder.path, [o1, o2])
  })
  afterEach(async () => {
    await edge.stop()
    await Promise.all([o1.stop(), o2.stop()])
    await folder.remove()
  })

  it('E1 slow chunked client memory', async () => {
    const chunk = Buffer.alloc(64 << 10, 1)
    let sent = 0
    o1.behave((_q, r) => {
      r.writeHead(200, { 'cache-control': 'no-store' })
      const go = () => {
        while (sent < 400 << 20) {
          sent += chunk.length
          if (!r.write(chunk)) return void r.once('drain', go)
        }
        r.end()
      }
      go()
    })
    // first makes it passing
    const s = connect(edge.port, '127.0.0.1', () => s.write(`GET /o1${segment(1)} HTTP/1.1\r\nHost: e\r\n\r\n`))
    let got = 0
    let over = false
    s.on('close', () => (over = true))
    s.on('data', (d) => {
      got += d.length
      s.pause()
      setTimeout(() => s.resume(), 20)
    })
    const base = process.memoryUsage()
    for (let i = 0; i < 12; i++) {
      await wait(500)
      const m = process.memoryUsage()
      console.log('E1', { sent: sent >> 20, got: got >> 20, rss: (m.rss - base.rss) >> 20, ext: (m.external - base.external) >> 20, over })
    }
    s.destroy()
  }, 30000)

  it('E2 always breaking origin never down', async () => {
    o1.behave(breakAfter(100_000))
    for (let i = 0; i < 6; i++) await edge.get(`/o1.o2${segment(i + 1)}`).then((a) => console.log('E2', a.headers['x-origin']), () => console.log('E2 broken'))
    console.log((await edge.admin('/metrics')).text.match(/origin_up.*/g))
  })

  it('E5 slow downloads block misses', async () => {
    await edge.stop()
    edge = await startTestEdge(folder.path, [o1], { fetch: { connections: 4, connectTimeout: '500ms', headersTimeout: '500ms', bodyTimeout: '2s' } })
    o1.behave((q, r) => serveBytes(q.url!.includes('big') ? 20 << 20 : 1000)(q, r))
    const socks = Array.from({ length: 4 }, () => {
      const s = connect(edge.port, '127.0.0.1', () => s.write(`GET /o1/files/${VIDEO}/r1/big.mp4 HTTP/1.1\r\nHost: e\r\n\r\n`))
      s.pause()
      return s
    })
    await wait(700)
    const a = await edge.get(`/o1${segment(1)}`)
    console.log('E5', a.status, a.headers['x-cache'], a.body.toString().slice(0, 200))
    for (const s of socks) s.destroy()
  }, 20000)

  it('E6 long cache-control', async () => {
    o1.behave(serveBytes(1000, { 'cache-control': `private, ${'x'.repeat(300)}` }))
    await edge.get(`/o1${segment(1)}`)
    console.log('E6', (await edge.get(`/o1${segment(1)}`)).headers['x-cache'])
  })

  it('E7 targets', async () => {
    for (const t of ['OPTIONS * HTTP/1.1', 'GET * HTTP/1.1', 'GET o1/x HTTP/1.1', `GET http://e/o1${segment(1)} HTTP/1.1`, 'CONNECT e:80 HTTP/1.1', 'GET /?x HTTP/1.1', 'GET ?x HTTP/1.1', 'get / HTTP/1.1', 'OPTIONS /o1 HTTP/1.1', 'PRI * HTTP/2.0']) {
      const t0 = Date.now()
      const a = await raw(edge.port, `${t}\r\nHost: e\r\n\r\n`)
      console.log('E7', t.slice(0, 40), JSON.stringify(a.text.slice(0, 60)), a.closed, Date.now() - t0)
    }
  }, 60000)

  it('E8 retry on keepalive reset', async () => {
    const seen = new WeakMap()
    o1.behave((q, r) => {
      const n = (seen.get(q.socket) ?? 0) + 1
      seen.set(q.socket, n)
      if (n === 2) return void q.socket.destroy()
      serveBytes()(q, r)
    })
    for (let i = 1; i < 4; i++) console.log('E8', (await edge.get(`/o1${segment(i)}`)).status)
  })
  it('E9 fds after', async () => {
    const count = () => readdirSync('/proc/self/fd').length
    const before = count()
    for (let k = 0; k < 100; k++) {
      const abort = new AbortController()
      setTimeout(() => abort.abort(), Math.random() * 8)
      await request(`${edge.url}/o1${segment(k)}`, { signal: abort.signal, headers: k % 2 ? { range: 'bytes=5-' } : {} }).then((r) => r.body.arrayBuffer()).catch(() => {})
    }
    await wait(6000)
    console.log('E9', before, count(), execFileSync('ls', ['-l', `/proc/${process.pid}/fd`]).toString().split('\n').filter((l) => l.includes('millrace')).length)
  }, 20000)
})
