import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type SecureVersion } from 'node:tls'
import { freePort } from '@millrace/common/testing/ports'
import { until } from '@millrace/common/testing/until'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { certify } from './certificates.js'
import { segment, tempFolder } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes, serveInTwo, startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'

/** Without it a connection in the queue of a listener that closes is lost, which no server can help. */
const migrates = readFileSync('/proc/sys/net/ipv4/tcp_migrate_req', 'utf8').trim() === '1'
const hasIPv6 = Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === '::1'))

describe('HTTPS at an edge of two workers', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: EdgeProcess
  let tlsPort: number
  let redirectPort: number
  let number = 0
  /** Handshakes that failed while certificates changed. */
  let lost: number | undefined

  beforeAll(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
    ;[tlsPort, redirectPort] = [await freePort(), await freePort()]
    const pair = await certify(folder.path, 'first.test')
    const tls = { listen: `127.0.0.1:${tlsPort}`, ...pair, redirectFrom: `127.0.0.1:${redirectPort}` }
    edge = await EdgeProcess.prepare(folder.path, [o1], { workers: 2, tls })
    const listen = [`127.0.0.1:${edge.port}`, ...(hasIPv6 ? [`[::1]:${edge.port}`] : [])]
    await edge.configure({ listen })
    await edge.start()
  })
  afterAll(async () => {
    await edge.end()
    await o1.stop()
    await folder.remove()
  })

  const handshake = async (options: { minVersion?: SecureVersion; maxVersion?: SecureVersion } = {}) => {
    const socket = connect({ port: tlsPort, host: '127.0.0.1', rejectUnauthorized: false, ...options })
    socket.setTimeout(10_000, () => socket.destroy(new Error('no handshake in time')))
    try {
      await once(socket, 'secureConnect')
      return { protocol: socket.getProtocol(), name: socket.getPeerCertificate().subject.CN }
    } finally {
      socket.destroy()
    }
  }
  const get = (path: string, agent = new Agent({ rejectUnauthorized: false })) =>
    new Promise<{ status: number; body: Buffer; name: string }>((resolve, reject) => {
      const sent = httpsRequest({ host: '127.0.0.1', port: tlsPort, path, agent, rejectUnauthorized: false }, async (response) => {
        const socket = response.socket as ReturnType<typeof connect>
        const name = `${socket.getPeerCertificate().subject?.CN}`
        const chunks: Buffer[] = []
        response.on('error', reject)
        for await (const chunk of response) chunks.push(chunk as Buffer)
        resolve({ status: response.statusCode!, body: Buffer.concat(chunks), name })
      })
      sent.on('error', reject)
      sent.end()
    })
  const plain = (options: { port: number; host?: string; method?: string; path?: string; headers?: Record<string, string> }) =>
    new Promise<{ status: number; location: string | undefined }>((resolve, reject) => {
      const sent = httpRequest({ host: '127.0.0.1', ...options }, (response) => {
        response.resume()
        resolve({ status: response.statusCode!, location: response.headers.location })
      })
      sent.on('error', reject)
      sent.end()
    })

  it('refuses TLS 1.1 and below', async () => {
    await expect(handshake({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })).rejects.toThrow()
  })

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('speaks %s', async (version) => {
    expect(await handshake({ minVersion: version, maxVersion: version })).toMatchObject({ protocol: version })
  })

  it('serves the same bytes as HTTP, from the same cache', async () => {
    const path = `/o1${segment(++number)}`
    expect((await get(path)).body.equals(bytesOf(segment(number), BODY_LENGTH))).toBe(true)
    await edge.idle()
    expect((await edge.get(path)).headers['x-cache']).toBe('hit')
  })

  it('is what the redirect listener sends everybody to, with method, path and query, and to no host that is none', async () => {
    const to = await plain({ port: redirectPort, path: '/o1/a?b=c', method: 'POST', headers: { host: 'edge.test' } })
    expect(to).toEqual({ status: 308, location: `https://edge.test:${tlsPort}/o1/a?b=c` })
    expect((await plain({ port: redirectPort, path: '/', headers: { host: `edge.test:${redirectPort}` } })).location).toBe(
      `https://edge.test:${tlsPort}/`,
    )
    expect(await plain({ port: redirectPort, path: '/', headers: { host: 'edge.test/@evil' } })).toEqual({
      status: 400,
      location: undefined,
    })
  })

  it.skipIf(!hasIPv6)('stands beside HTTP on IPv4 and IPv6', async () => {
    for (const host of ['127.0.0.1', '::1']) expect((await plain({ port: edge.port, host, path: '/' })).status).toBe(404)
  })

  it.each([
    ['a certificate that is none', 'cert.pem', 'tls-bad-pair'],
    ['a key of another certificate', 'key.pem', 'tls-bad-pair'],
  ])('keeps its old pair when SIGHUP finds %s, and says so', async (_what, file, code) => {
    const other = await tempFolder()
    const before = await handshake()
    const path = `${folder.path}/${file}`
    const good = readFileSync(path)
    const stranger = await certify(other.path, 'other.test')
    await writeFile(path, file === 'key.pem' ? readFileSync(stranger.key) : 'nothing')
    const line = await edge.reload()
    await writeFile(path, good)
    await other.remove()
    expect(line.msg).toContain('the old one stays in force')
    expect(JSON.stringify(line.err)).toContain(code)
    for (let i = 0; i < 8; i++) expect(await handshake()).toEqual(before)
  })

  it('gives a worker that is replaced the pair in force, whatever the files have become', async () => {
    const other = await tempFolder()
    const before = await handshake()
    const good = readFileSync(`${folder.path}/key.pem`)
    const stranger = await certify(other.path, 'other.test')
    await writeFile(`${folder.path}/key.pem`, readFileSync(stranger.key))
    await other.remove()
    expect((await edge.reload()).msg).toContain('the old one stays in force')
    const [killed] = edge.roles().workers
    process.kill(killed!, 'SIGKILL')
    const { workers } = await edge.replaced(killed!)
    await writeFile(`${folder.path}/key.pem`, good)
    expect(workers).toHaveLength(2)
    for (let i = 0; i < 12; i++) expect((await until('a handshake', () => handshake())).name).toBe(before.name)
    expect(await edge.metric('millrace_edge_child_restarts_total')).toBe(1)
  })

  it('leaves no copy of its key behind', async () => {
    const key = readFileSync(`${folder.path}/key.pem`, 'utf8')
    for (const parent of ['/dev/shm', tmpdir()]) {
      for (const name of readdirSync(parent).filter((each) => each.startsWith('millrace-edge-'))) {
        const at = join(parent, name)
        if (at === folder.path) continue
        for (const file of readdirSync(at, { withFileTypes: true }).filter((entry) => entry.isFile()))
          expect(readFileSync(join(at, file.name), 'utf8')).not.toBe(key)
      }
    }
  })

  it('changes its certificate by SIGHUP under load: running transfers and open connections go on, new ones get the new one', async () => {
    const half = serveInTwo(100_000)
    o1.behave(half.behaviour)
    const slow = segment(++number)
    const running = get(`/o1${slow}`)
    await until('the transfer', () => o1.requests.includes(slow))
    o1.behave(serveBytes())
    const kept = new Agent({ rejectUnauthorized: false, keepAlive: true, maxSockets: 1 })
    const path = `/o1${segment(++number)}`
    const { name: before } = await get(path, kept)
    let going = true
    let done = 0
    const failures: string[] = []
    const load = Array.from({ length: 4 }, async () => {
      while (going) {
        await handshake().catch((error: Error) => failures.push(error.message))
        done++
      }
    })
    for (const next of ['second.test', 'third.test']) {
      const after = done + 20
      await until('some handshakes', () => done >= after)
      await certify(folder.path, next)
      expect((await edge.reload()).msg).toBe('configuration reloaded')
      // Of both workers: the kernel chooses.
      for (let i = 0; i < 12; i++) expect((await until('a handshake', () => handshake())).name).toBe(next)
      expect(await get(path, kept)).toMatchObject({ status: 200, name: before })
    }
    going = false
    await Promise.all(load)
    half.release()
    expect((await running).body.equals(bytesOf(slow, BODY_LENGTH))).toBe(true)
    lost = failures.length
    // Each reload may lose what stood in the old queue, no more.
    expect(lost).toBeLessThan(done / 4)
    kept.destroy()
  })

  it.skipIf(!migrates)('loses no handshake by that, where the kernel hands over what waits for the old listener (tcp_migrate_req)', () => {
    expect(lost).toBe(0)
  })
})
