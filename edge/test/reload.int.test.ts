import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { signRoute } from '@millrace/common/contracts/route'
import { until } from '@millrace/common/testing/until'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { segment, tempFolder, VIDEO } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes, serveInTwo, startOrigin, type TestOrigin } from './origin.js'
import { EdgeProcess } from './processes.js'

const RELOADED = 'configuration reloaded'
const KEY = 'a-key-of-the-reload-tests'

describe.each([1, 2])('SIGHUP to an edge of %i workers', (workers) => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let o2: TestOrigin
  let edge: EdgeProcess
  let number = 0

  beforeAll(async () => {
    folder = await tempFolder()
    ;[o1, o2] = await Promise.all([startOrigin(), startOrigin()])
    edge = await EdgeProcess.start(folder.path, [o1], { workers })
  })
  beforeEach(async () => {
    await edge.configure({ origins: [{ id: 'o1', url: o1.url }], limits: {} })
    expect((await edge.reload()).msg).toBe(RELOADED)
  })
  afterAll(async () => {
    await edge.end()
    await Promise.all([o1.stop(), o2.stop()])
    await folder.remove()
  })

  it.each([
    ['cannot be parsed', (file: string) => writeFile(file, 'id: [e1')],
    ['has a wrong value', () => edge.configure({ origins: [] })],
    ['is gone', (file: string) => writeFile(file, '')],
  ])('with a config that %s changes nothing, and says why', async (_what, spoil) => {
    await spoil(edge.configFile)
    const line = await edge.reload()
    expect(line.msg).toContain('the old one stays in force')
    expect(JSON.stringify(line.err)).toContain('bad-config')
    expect((await edge.get(`/o1${segment(++number)}`)).status).toBe(200)
    const config = JSON.parse((await edge.admin('/v1/config')).text)
    expect(config.origins).toEqual([{ id: 'o1', url: o1.url }])
  })

  it('takes over origins: those that are new are asked, those that are gone no more, and running transfers go on', async () => {
    const half = serveInTwo(100_000)
    o1.behave(half.behaviour)
    const path = segment(++number)
    const running = await edge.open(`/o1${path}`)
    await edge.configure({ origins: [{ id: 'o2', url: o2.url }] })
    expect((await edge.reload()).msg).toBe(RELOADED)
    const fresh = segment(++number)
    expect((await edge.get(`/o1${fresh}`)).status).toBe(404)
    expect((await edge.get(`/o2${fresh}`)).headers['x-origin']).toBe('o2')
    expect([o1.requests.includes(fresh), o2.requests]).toEqual([false, [fresh]])
    const listed = JSON.parse((await edge.admin('/v1/origins')).text)
    expect(listed.origins).toMatchObject([{ id: 'o2' }])
    half.release()
    expect(Buffer.from(await running.body.arrayBuffer()).equals(bytesOf(path, BODY_LENGTH))).toBe(true)
    o1.behave(serveBytes())
  })

  it('takes over the address of an origin', async () => {
    await edge.configure({ origins: [{ id: 'o1', url: o2.url }] })
    expect((await edge.reload()).msg).toBe(RELOADED)
    const path = segment(++number)
    expect((await edge.get(`/o1${path}`)).status).toBe(200)
    expect(o2.requests).toContain(path)
    expect(o1.requests).not.toContain(path)
  })

  it('takes over limits, in every worker', async () => {
    await edge.configure({ limits: { requestsPerSecond: 0.01, requestBurst: 1 } })
    expect((await edge.reload()).msg).toBe(RELOADED)
    // A new connection each: they spread over the workers, each of which counts one.
    const statuses: number[] = []
    await until('each worker to have had enough', async () => {
      const answer = await fetch(`${edge.url}/o1${segment(1)}`, { headers: { connection: 'close' } })
      await answer.arrayBuffer()
      statuses.push(answer.status)
      return statuses.slice(-20).length === 20 && statuses.slice(-20).every((status) => status === 429)
    })
    expect(statuses.filter((status) => status !== 429).length).toBe(workers)
    await edge.configure({ limits: {} })
    expect((await edge.reload()).msg).toBe(RELOADED)
    expect((await edge.get(`/o1${segment(1)}`)).status).toBe(200)
  })
})

describe.each([1, 2])('SIGHUP to an edge of %i workers with settings that need a restart', (workers) => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let o1: TestOrigin
  let o2: TestOrigin
  let edge: EdgeProcess
  let number = 0

  beforeEach(async () => {
    folder = await tempFolder()
    ;[o1, o2] = await Promise.all([startOrigin(serveBytes(BODY_LENGTH, { 'cache-control': 'max-age=600' })), startOrigin()])
    edge = await EdgeProcess.start(folder.path, [o1], { workers, paths: [{ prefix: '/site', mode: 'generic', origin: 'o1' }] })
  })
  afterEach(async () => {
    await edge.end()
    await Promise.all([o1.stop(), o2.stop()])
    await folder.remove()
  })

  it('takes over nothing that needs a restart, and names it: answers, /v1/config and purges agree, also after a child was replaced', async () => {
    const config = async () => JSON.parse((await edge.admin('/v1/config')).text)
    const before = await config()
    await edge.configure({
      limits: { maxRequests: 1234 },
      workers: 3 - workers,
      cors: { origin: 'https://other.test' },
      negativeTtl: '2000ms',
      paths: [{ prefix: '/other', mode: 'generic', origin: 'o1' }],
      admin: { listen: `127.0.0.1:${edge.adminPort}`, token: 'quite-another-admin-token' },
      cache: { path: edge.cachePath, size: '32MiB', maxObject: '8MiB' },
    })
    const line = await edge.reload()
    expect(line).toMatchObject({ msg: RELOADED, needRestart: ['admin.token', 'cache.size', 'cors.origin', 'paths', 'workers'] })
    if (workers === 2) {
      const { keeper, workers: pids } = edge.roles()
      for (const pid of [keeper!, pids[0]!]) {
        process.kill(pid, 'SIGKILL')
        await edge.replaced(pid)
      }
    }
    expect(await config()).toEqual({ ...before, limits: { ...before.limits, maxRequests: 1234 } })
    const page = async () => (await edge.get('/site/page')).headers
    expect((await page())['x-cache']).toBe('miss')
    await edge.idle()
    expect((await page())['x-cache']).toBe('hit')
    await edge.admin('/v1/purge', { method: 'POST', body: { version: 1, scope: 'url', url: '/site/page' } })
    expect((await page())['x-cache']).toBe('miss')
    const path = segment(++number)
    for (let i = 0; i < 8; i++) {
      const answer = await fetch(`${edge.url}/o1${path}`, { headers: { connection: 'close' } })
      await answer.arrayBuffer()
      expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([200, '*'])
    }
  })

  it('that comes while it starts is obeyed when it has started', async () => {
    await edge.stop()
    const before = edge.lines.length
    const lines = () => edge.lines.slice(before).map(({ msg }) => msg)
    const started = edge.start()
    await edge.configure({ limits: { maxRequests: 1234 } })
    await until('the admin port', () => edge.admin('/healthz'))
    process.kill(edge.pid, 'SIGHUP')
    await started
    await until('the reload', () => lines().includes(RELOADED))
    expect(lines().indexOf('ready')).toBeGreaterThanOrEqual(0)
    expect(JSON.parse((await edge.admin('/v1/config')).text)).toMatchObject({ limits: { maxRequests: 1234 } })
  })

  it('is refused when what needs a restart would be left without its origin', async () => {
    await edge.configure({ origins: [{ id: 'o2', url: o2.url }], paths: [] })
    const line = await edge.reload()
    expect(line.msg).toContain('the old one stays in force')
    expect(JSON.stringify(line.err)).toContain('paths.0.origin')
  })

  it('reads secrets once: a child that is replaced has those in force, whatever their files have become', async () => {
    const file = join(folder.path, 'key')
    const keys = { keys: { k1: `file:${file}` }, require: true }
    await writeFile(file, KEY)
    await edge.configure({ routes: keys })
    expect((await edge.reload()).msg).toBe(RELOADED)
    await rm(file)
    expect((await edge.reload()).msg).toContain('the old one stays in force')
    if (workers === 2) {
      const [killed] = edge.roles().workers
      process.kill(killed!, 'SIGKILL')
      await edge.replaced(killed!)
    }
    const exp = Math.floor(Date.now() / 1000) + 600
    const route = signRoute({ origins: ['o1'], exp, kid: 'k1', key: Buffer.from(KEY), videoId: VIDEO, rev: 'r1' })
    for (let i = 0; i < 8; i++) {
      const answer = await fetch(`${edge.url}/${route}${segment(1)}`, { headers: { connection: 'close' } })
      await answer.arrayBuffer()
      expect(answer.status).toBe(200)
    }
  })
})
