import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { raw, segment, startTestEdge, type TestEdge, tempFolder } from './edge.js'
import { startOrigin, type TestOrigin } from './origin.js'

/** What a client may ask at once here; after that it is turned away for as long as a test takes. */
const BURST = 3
const TRUSTED = '127.0.0.9'

/** A PROXY protocol v2 head: the command PROXY for TCP over IPv4 or IPv6, as HAProxy's specification has it in §2.2. */
function proxyHead(source: Buffer): Buffer {
  const addresses = Buffer.concat([source, source, Buffer.from([0x30, 0x39, 0x00, 0x50])])
  const family = source.length === 4 ? 0x11 : 0x21
  return Buffer.concat([Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'), Buffer.from([0x21, family, 0, addresses.length]), addresses])
}

const ipv4 = (last: number) => Buffer.from([203, 0, 113, last])
const ipv6 = (network: number, host: number) => Buffer.from([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, network, 0, 0, 0, 0, 0, 0, 0, host])

describe('who asks', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: TestEdge
  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin()
  })
  afterEach(async () => {
    await edge.stop()
    await o1.stop()
    await folder.remove()
  })

  const logFile = () => join(folder.path, 'access.log')
  const start = async (forwarded: string, trustedPeers = [TRUSTED]) => {
    edge = await startTestEdge(folder.path, [o1], {
      limits: { requestsPerSecond: 0.01, requestBurst: BURST },
      clients: { trustedPeers, forwarded },
      log: { access: { path: logFile(), sample: 1 } },
    })
  }
  const clientsInLog = (lines: number) =>
    until('the log', async () => {
      const logged = (await readFile(logFile(), 'utf8')).trimEnd().split('\n')
      return logged.length === lines && logged.map((line) => JSON.parse(line).client)
    })
  const ask = async (fields: string, options: { from?: string; before?: Buffer } = {}) => {
    const request = Buffer.from(`GET /o1${segment(1)} HTTP/1.1\r\nHost: e\r\nRange: bytes=0-0\r\n${fields}\r\n`)
    const { text } = await raw(edge.port, Buffer.concat([options.before ?? Buffer.alloc(0), request]), 'answer', options.from ?? TRUSTED)
    return Number(text.slice(9, 12))
  }
  /** Statuses of one request more than a client may make. */
  const burst = async (one: (n: number) => Promise<number>) => {
    const statuses: number[] = []
    for (let n = 1; n <= BURST + 1; n++) statuses.push(await one(n))
    return statuses
  }
  const ONE_CLIENT = [206, 206, 206, 429]
  const MANY_CLIENTS = [206, 206, 206, 206]

  it.each([
    ['x-forwarded-for', (n: number) => `X-Forwarded-For: 203.0.113.${n}\r\n`],
    ['forwarded', (n: number) => `Forwarded: for=203.0.113.${n}\r\n`],
  ])('is not what %s says when the peer is not trusted', async (forwarded, field) => {
    await start(forwarded)
    expect(await burst((n) => ask(field(n), { from: '127.0.0.2' }))).toEqual(ONE_CLIENT)
    // Another peer is another client.
    expect(await ask(field(1), { from: '127.0.0.3' })).toBe(206)
    expect(await clientsInLog(5)).toEqual(['127.0.0.2', '127.0.0.2', '127.0.0.2', '127.0.0.2', '127.0.0.3'])
  })

  it('is not what a PROXY head says when the peer is not trusted', async () => {
    await start('proxy-v2')
    expect(await burst((n) => ask('', { from: '127.0.0.2', before: proxyHead(ipv4(n)) }))).toEqual(ONE_CLIENT)
    expect(await clientsInLog(4)).toEqual(Array(4).fill('127.0.0.2'))
  })

  it('is not what fields say that are not the configured ones', async () => {
    await start('proxy-v2')
    const fields = (n: number) => `X-Forwarded-For: 203.0.113.${n}\r\nForwarded: for=203.0.113.${n}\r\n`
    expect(await burst((n) => ask(fields(n), { before: proxyHead(ipv4(1)) }))).toEqual(ONE_CLIENT)
    expect(await clientsInLog(4)).toEqual(Array(4).fill('203.0.113.1'))
  })

  it('is not what a client wrote ahead of what the trusted peer added', async () => {
    await start('x-forwarded-for')
    expect(await burst((n) => ask(`X-Forwarded-For: 198.51.100.${n}, 203.0.113.7\r\n`))).toEqual(ONE_CLIENT)
    expect(await clientsInLog(4)).toEqual(Array(4).fill('203.0.113.7'))
  })

  it.each([
    ['x-forwarded-for', (n: number) => `X-Forwarded-For: 198.51.100.${n}\r\nX-Forwarded-For: 203.0.113.7\r\n`],
    ['forwarded', (n: number) => `Forwarded: for=198.51.100.${n}\r\nForwarded: for=203.0.113.7\r\n`],
  ])("is not what a client wrote in a line of its own ahead of the trusted peer's (%s)", async (forwarded, fields) => {
    await start(forwarded)
    expect(await burst((n) => ask(fields(n)))).toEqual(ONE_CLIENT)
    expect(await clientsInLog(4)).toEqual(Array(4).fill('203.0.113.7'))
  })

  it.each([
    ['x-forwarded-for', (n: number) => ask(`X-Forwarded-For: 203.0.113.${n}\r\n`)],
    ['forwarded', (n: number) => ask(`Forwarded: for="203.0.113.${n}:4711";proto=https\r\n`)],
    ['proxy-v2', (n: number) => ask('', { before: proxyHead(ipv4(n)) })],
  ])('is what a trusted peer says by %s', async (forwarded, one) => {
    await start(forwarded)
    expect(await burst(one)).toEqual(MANY_CLIENTS)
    expect(await burst(() => one(9))).toEqual(ONE_CLIENT)
    expect(await clientsInLog(8)).toEqual([1, 2, 3, 4, 9, 9, 9, 9].map((last) => `203.0.113.${last}`))
  })

  it.each([
    ['LOCAL', 0x20],
    ['PROXY', 0x21],
  ])('is the trusted peer itself where its PROXY head names nobody (%s)', async (_what, command) => {
    await start('proxy-v2')
    const before = Buffer.from([...Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'), command, 0, 0, 0])
    expect(await ask('', { before })).toBe(206)
    expect(await clientsInLog(1)).toEqual([TRUSTED])
  })

  it.each([
    ['forwarded', (network: number, host: number) => ask(`Forwarded: for="[2001:db8:0:${network}::${host}]"\r\n`)],
    ['proxy-v2', (network: number, host: number) => ask('', { before: proxyHead(ipv6(network, host)) })],
  ])('is a whole /64 of IPv6 (%s)', async (forwarded, one) => {
    await start(forwarded)
    expect(await burst((n) => one(1, n))).toEqual(ONE_CLIENT)
    expect(await one(2, 1)).toBe(206)
    expect((await clientsInLog(5)).at(-1)).toBe('2001:db8:0:2::1')
  })

  it('is told when to come back', async () => {
    await start('x-forwarded-for')
    await burst(() => ask(''))
    const { text } = await raw(edge.port, `GET /o1${segment(1)} HTTP/1.1\r\nHost: e\r\n\r\n`, 'answer', TRUSTED)
    expect(text).toMatch(/^HTTP\/1\.1 429 /)
    expect(text).toMatch(/\r\nretry-after: \d+\r\n/)
    expect(text).toContain('"code":"rate-limited"')
    expect(o1.requests.length).toBeLessThanOrEqual(1)
  })
})
