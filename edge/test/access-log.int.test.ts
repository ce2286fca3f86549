import { readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { signRoute } from '@millrace/common/contracts/route'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { raw, segment, tempFolder, VIDEO } from './edge.js'
import { bytesOf, serveStatus, startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'
import { serveResource } from './resource.js'

interface Line {
  request: string
  path: string
  status: number
  phase: string
}

describe.each([1, 2])('the access log of an edge of %i worker(s)', (workers) => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let edge: EdgeProcess
  beforeEach(async () => {
    folder = await tempFolder()
    o1 = await startOrigin(serveResource({ body: bytesOf('a', 2000), headers: { etag: '"1"', 'cache-control': 'max-age=600' } }))
  })
  afterEach(async () => {
    await edge.end()
    await o1.stop()
    await folder.remove()
  })

  const file = () => join(folder.path, 'access.log')
  const start = async (access: Record<string, unknown>, more: Record<string, unknown> = {}) => {
    edge = await EdgeProcess.start(folder.path, [o1], { workers, log: { access: { path: file(), ...access } }, ...more })
  }
  const linesOf = async (path = file()): Promise<Line[]> => {
    const text = await readFile(path, 'utf8').catch(() => '')
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line))
  }
  const lineOf = (request: string) =>
    until(`the line of ${request}`, async () => (await linesOf()).find((line) => line.request === request))
  /** Asks by itself and over enough connections that each worker gets some. */
  const crowd = (ids: readonly (string | undefined)[]) =>
    Promise.all(ids.map((id) => edge.get(`/o1${segment(1)}`, id === undefined ? {} : { 'x-request-id': id })))
  const idsFrom = (first: number, count: number) => Array.from({ length: count }, (_, index) => `viewer-${first + index}`)

  it('goes on in a new file after rename and SIGUSR1, each worker with its own lines, and loses none', async () => {
    await start({ sample: 1 })
    const old = `${file()}.1`
    const ids: string[] = []
    const ask = async (count: number) => {
      const next = idsFrom(ids.length + 1000, count)
      ids.push(...next)
      await crowd(next)
    }
    await ask(100)
    await rename(file(), old)
    process.kill(edge.pid, 'SIGUSR1')
    // Each worker numbers requests under a prefix of its own, by which it is known here.
    let unnamed = 0
    await until('lines of each worker in the new file', async () => {
      await ask(20)
      await crowd(Array.from({ length: 20 }, () => undefined))
      unnamed += 20
      const prefixes = new Set((await linesOf()).map(({ request }) => /^([0-9a-f]{8})-/.exec(request)?.[1]))
      prefixes.delete(undefined)
      return prefixes.size === workers
    })
    const { size } = await stat(old)
    await ask(100)
    await until('every line', async () => (await linesOf(old)).length + (await linesOf()).length === ids.length + unnamed)
    const logged = [...(await linesOf(old)), ...(await linesOf())].map(({ request }) => request).filter((id) => id.startsWith('viewer-'))
    expect(logged.sort()).toEqual(ids.sort())
    expect((await stat(old)).size).toBe(size)
    expect(await edge.metric('millrace_edge_log_dropped_lines_total')).toBe(0)
  })

  it('has with sample 0 nothing but what is refused or fails', async () => {
    await start({ sample: 0 })
    await crowd(idsFrom(1000, 50))
    await edge.get(`/o1${segment(2)}`, { range: 'bytes=0-9' })
    await edge.get(`/o1${segment(1)}`, {}, 'POST')
    await edge.get('/o1/etc/passwd')
    await edge.get(`/nobody${segment(1)}`)
    o1.behave(serveStatus(500))
    await edge.get(`/o1${segment(3)}`)
    o1.behave(serveStatus(404))
    await edge.get(`/o1${segment(4)}`)
    const lines = await until('the lines', async () => {
      const found = await linesOf()
      return found.length >= 4 && found
    })
    expect(lines.map(({ phase, status }) => `${phase} ${status}`).sort()).toEqual([
      'error 502',
      'refused 404',
      'refused 404',
      'refused 405',
    ])
    // What came later would stand behind them.
    await edge.stop()
    expect(await linesOf()).toHaveLength(4)
  })

  it('shows no signature, be it good, wrong, expired or malformed, wherever it stands', async () => {
    const key = 'a-secret-for-the-tests-0123456789'
    await start({ sample: 1 }, { routes: { keys: { k1: key }, require: true }, paths: [{ prefix: '/app', mode: 'generic', origin: 'o1' }] })
    const now = Math.floor(Date.now() / 1000)
    const sign = (exp: number, secret = key) =>
      signRoute({ origins: ['o1'], exp, kid: 'k1', key: Buffer.from(secret), videoId: VIDEO, rev: 'r1' })
    const good = sign(now + 3600)
    const routes = [
      good,
      sign(now - 3600),
      sign(now + 3600, 'another-secret-0123456789'),
      sign(now + 7200).replace('~k1~', '~k9~'),
      sign(now + 7201).replaceAll('~', '%7e'),
      sign(now + 7202).replaceAll('~', '%7E'),
      sign(now + 7203).replace('~v1~', '~v2~'),
      sign(now + 7204).replace('o1~', 'O1~'),
      `${sign(now + 7205)}AAAA`,
      sign(now + 7206).slice(0, -3),
    ]
    const paths = [
      ...routes.map((route) => `/${route}${segment(1)}`),
      `/${good}${segment(1)}?again=${good}`,
      `/o1/${sign(now + 7207)}${segment(1)}`,
      `//${sign(now + 7208)}${segment(1)}`,
      `/app/${sign(now + 7209)}/a`,
      `/${'a/'.repeat(100)}${sign(now + 7210)}`,
      `/${sign(now + 7211)}`,
    ]
    const macs = paths.map((path) => /k[19](?:~|%7e)([A-Za-z0-9_-]{20,})/i.exec(path)![1]!)
    for (const path of paths) {
      for (const method of ['GET', 'POST']) {
        await raw(edge.port, `${method} ${path} HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n`)
      }
    }
    await until('the lines', async () => (await linesOf()).length === 2 * paths.length)
    const text = (await readFile(file(), 'utf8')) + JSON.stringify(edge.lines)
    for (const mac of macs) for (const part of [mac, mac.slice(0, 12), mac.slice(-12)]) expect(text).not.toContain(part)
    expect((await linesOf()).some(({ status }) => status === 200)).toBe(true)
  })

  describe('and the origin see one id of a request', () => {
    const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const cached = { etag: '"1"', 'cache-control': 'max-age=600' }
    /** How a request comes to an origin, and what that origin says. */
    const WAYS: [phase: string, path: string, method: 'GET' | 'POST', headers: Record<string, string>][] = [
      ['miss', `/o1${segment(1)}`, 'GET', cached],
      ['bypass', `/o1${segment(2)}`, 'GET', { 'cache-control': 'no-store' }],
      ['revalidated', `/o1${segment(3)}`, 'GET', { etag: '"1"', 'cache-control': 'no-cache' }],
      ['miss', '/app/a', 'GET', cached],
      ['bypass', '/app/b', 'GET', { 'cache-control': 'no-store' }],
      ['bypass', '/app/c', 'POST', {}],
      ['revalidated', '/app/d', 'GET', { etag: '"1"', 'cache-control': 'no-cache' }],
    ]
    /** Asks in each way, and gives what its origin saw of the trace to `check`, with the phase that the log is to have. */
    const eachWay = async (fields: Record<string, string>, check: (seen: (string | undefined)[], phase: string) => Promise<void>) => {
      await start({ sample: 1 }, { paths: [{ prefix: '/app', mode: 'generic', origin: 'o1' }] })
      for (const [phase, path, method, headers] of WAYS) {
        o1.behave(serveResource({ body: bytesOf('a', 2000), headers }))
        if (phase === 'revalidated') {
          await edge.get(path)
          await edge.idle()
        }
        o1.headers.length = 0
        expect([path, (await edge.get(path, fields, method)).headers['x-cache']]).toEqual([path, phase])
        await edge.idle()
        const seen = o1.headers.map((sent) => [sent['x-request-id'], sent.traceparent].map((value) => value?.toString()))
        expect(new Set(seen.map(([id]) => id)).size).toBe(1)
        for (const one of seen) await check(one, phase)
      }
    }

    it('of the edge, where the client sent a bad one: the origin sees nothing of that', async () => {
      await eachWay({ 'x-request-id': 'no good', traceparent: TRACE.replace('00-', 'ff-') }, async ([id, traceparent], phase) => {
        expect([id, traceparent]).toEqual([expect.stringMatching(/^[0-9a-f]{8}-[0-9a-z]+$/), undefined])
        expect((await lineOf(id!)).phase).toBe(phase)
      })
    })

    it('of the client where it is good, with its trace', async () => {
      const phases = new Set<string>()
      await eachWay({ 'x-request-id': 'from-the-client-1', traceparent: TRACE }, async (seen, phase) => {
        expect(seen).toEqual(['from-the-client-1', TRACE])
        phases.add(phase)
      })
      await until(
        'the lines',
        async () => (await linesOf()).filter(({ request }) => request === 'from-the-client-1').length === WAYS.length,
      )
      const logged = (await linesOf()).filter(({ request }) => request === 'from-the-client-1').map(({ phase }) => phase)
      expect(new Set(logged)).toEqual(phases)
    })
  })
})
