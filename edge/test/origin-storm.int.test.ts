import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '@millrace/common/testing/until'
import { afterEach, describe, expect, it } from 'vitest'
import { originsSchema } from '../src/origin/config.js'
import { type Behaviour, bytesOf, serveBytes, serveStatus, startOrigin, type TestOrigin } from './origin.js'
import { get, is200, outcomes, read, startGroup, type TestGroup } from './origin-group.js'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function start(
  behaviours: Behaviour[],
  options: Parameters<typeof startGroup>[1] = {},
): Promise<TestGroup & { servers: TestOrigin[] }> {
  const servers = await Promise.all(behaviours.map((behaviour) => startOrigin(behaviour)))
  for (const server of servers) closing.push(server.stop)
  const group = startGroup(
    servers.map(({ url }) => url),
    options,
  )
  closing.push(group.close)
  return { ...group, servers }
}

const silent: Behaviour = () => undefined
const fetching = (group: TestGroup, order = ['o1', 'o2']) => group.origins.fetch(order, { ...get('/x'), wanted: is200 })

describe('the retry budget', () => {
  it('keeps attempts within requests × (1 + ratio) + floor when every origin fails', async () => {
    const failing = [500, 503, 500].map((status) => serveStatus(status))
    const floor = 10
    const group = await start(failing, { fetch: { retryBudget: { ratio: 0.2, minPerSecond: floor, burst: 0 } } })
    const startedAt = performance.now()
    const requests = 1000
    const one = async () => {
      for (let count = 0; count < requests / 20; count++) {
        const request = { ...get('/x', { purpose: 'pass' }), wanted: is200, beyondRoute: true }
        expect((await group.origins.fetch(['o1', 'o2'], request)).ok).toBe(false)
      }
    }
    await Promise.all(Array.from({ length: 20 }, one))
    const seconds = (performance.now() - startedAt) / 1000
    const asked = group.servers.reduce((sum, server) => sum + server.requests.length, 0)
    expect(asked).toBeGreaterThanOrEqual(requests)
    expect(asked).toBeLessThanOrEqual(requests * 1.2 + floor * (1 + seconds) + 1)
    expect(group.told.spent).toBeGreaterThan(0)
  })

  it('ends a search with what it has: who was not asked is named, and a 404 by some is no 404 by all', async () => {
    const group = await start([serveStatus(500), serveStatus(404)], { fetch: { retryBudget: { ratio: 0, minPerSecond: 0 } } })
    const fetched = await fetching(group)
    expect([outcomes(fetched), group.told.spent, group.servers[1]!.requests.length]).toEqual(['o1 server-error, o2 retry-budget', 1, 0])
  })

  it('is not needed to pass over replicas that are not there, but for looking beyond the route', async () => {
    const missing = serveStatus(404)
    const group = await start([missing, missing, serveBytes()], { fetch: { retryBudget: { ratio: 0, minPerSecond: 0 } } })
    const fetched = await group.origins.fetch(['o1', 'o2'], { ...get('/x'), wanted: is200, beyondRoute: true })
    expect([outcomes(fetched), group.servers[2]!.requests.length]).toEqual(['o1 missing, o2 missing', 0])
  })
})

describe('a hedge', () => {
  const hedging = { fetch: { hedgeAfter: '50ms', headersTimeout: '1s' } }
  const after =
    (behaviour: Behaviour, release: Promise<unknown>): Behaviour =>
    (request, response) =>
      void release.then(() => behaviour(request, response))

  it('is not sent without a retry left, nor for what must not be repeated, nor when the first answers in time', async () => {
    const poor = await start([after(serveBytes(), hold(150)), serveBytes()], {
      fetch: { ...hedging.fetch, retryBudget: { ratio: 0, minPerSecond: 0 } },
    })
    expect(outcomes(await fetching(poor))).toBe('o1 ok')
    const rich = await start([after(serveBytes(), hold(150)), serveBytes()], hedging)
    const post = { ...get('/x', { method: 'POST', mode: 'generic' }), wanted: is200 }
    expect(outcomes(await rich.origins.fetch(['o1', 'o2'], post))).toBe('o1 ok')
    const quick = await start([serveBytes(), serveBytes()], hedging)
    expect(outcomes(await fetching(quick))).toBe('o1 ok')
    expect([poor, rich, quick].map((group) => group.servers[1]!.requests.length)).toEqual([0, 0, 0])
  })

  it('wins over a silent origin, whose request is stopped and counts as one failure', async () => {
    const group = await start([silent, serveBytes()], { ...hedging, health: { failures: 2 } })
    const closed = new Promise((resolve) => group.servers[0]!.behave((request) => request.socket.on('close', resolve)))
    const fetched = await fetching(group)
    if (!fetched.ok) throw new Error('not answered')
    expect((await read(fetched.answer.body)).equals(bytesOf('/x', 300_000))).toBe(true)
    await closed
    expect([outcomes(fetched), group.told.hedges, group.told.health]).toEqual(['o2 ok', ['won'], []])
    expect(group.told.attempts.map(({ origin }) => origin)).toEqual(['o2'])
    await fetching(group)
    expect([group.told.health, group.origins.order(['o1', 'o2'])]).toEqual([['o1 down'], ['o2', 'o1']])
    expect(outcomes(await fetching(group))).toBe('o2 ok')
    expect([group.told.hedges, group.servers[0]!.requests.length]).toEqual([['won', 'won'], 2])
  })

  it('loses to the first origin when that answers sooner', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const group = await start([after(serveBytes(), held), silent, serveBytes()], { ...hedging, health: { failures: 1 } })
    const fetched = fetching(group, ['o1', 'o2', 'o3'])
    await until('the hedge to be sent', () => group.servers[1]!.requests.length === 1)
    release()
    expect(outcomes(await fetched)).toBe('o1 ok')
    expect([group.told.hedges, group.told.health, group.servers[2]!.requests.length]).toEqual([['lost'], [], 0])
  })

  it('that fails leaves the first one running; then the rest of the order is asked', async () => {
    const group = await start([silent, serveStatus(500), serveBytes()], { fetch: { hedgeAfter: '50ms', headersTimeout: '300ms' } })
    const fetched = await fetching(group, ['o1', 'o2', 'o3'])
    expect([outcomes(fetched), group.told.hedges]).toEqual(['o2 server-error, o1 timeout, o3 ok', ['failed']])
  })

  it('is stopped with the request', async () => {
    const group = await start([silent, silent], hedging)
    const abort = new AbortController()
    const fetched = group.origins.fetch(['o1', 'o2'], { ...get('/x', { signal: abort.signal }), wanted: is200 })
    await until('the hedge to be sent', () => group.servers[1]!.requests.length === 1)
    abort.abort()
    expect([(await fetched).ok, group.told.attempts]).toEqual([false, []])
  })
})

describe('a half-open circuit', () => {
  it('lets one of 50 concurrent misses try its origin, whatever order each was told', async () => {
    const group = await start([serveStatus(500), serveBytes()], { health: { failures: 1, coolDown: '100ms' } })
    await fetching(group)
    const [failing] = group.servers as [TestOrigin]
    expect([group.told.health, failing.requests.length]).toEqual([['o1 down'], 1])
    // The order that a worker made before, without this process's health.
    await until('a trial to be due', () => group.origins.order(['o1', 'o2'])[0] === 'o1')
    failing.behave(silent)
    await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const fetched = fetching(group)
        if (index > 0) expect(outcomes(await fetched)).toBe('o2 ok')
      }),
    )
    expect(failing.requests.length).toBe(2)
  })
})

describe('an order with an origin that is gone', () => {
  it('is followed with the others, and that one counts as one that cannot be reached', async () => {
    const group = await start([serveStatus(404)])
    expect(outcomes(await fetching(group, ['o9', 'o1']))).toBe('o1 missing, o9 unreachable')
    expect(outcomes(await fetching(group, ['o9']))).toBe('o9 unreachable')
  })
})

describe('probes', () => {
  const probing = { health: { failures: 2, coolDown: '10m', probe: { interval: '100ms', timeout: '200ms' } } }

  it('open the circuit of an origin that is gone, and close it when it is back, without any request', async () => {
    const group = await start([serveStatus(404), serveStatus(404)], probing)
    await group.servers[0]!.stop()
    await until('o1 to be down', () => group.told.health.includes('o1 down'))
    expect(group.origins.order(['o1', 'o2'])).toEqual(['o2', 'o1'])
    await group.servers[0]!.start()
    await until('o1 to be up', () => group.told.health.includes('o1 up'))
    expect(group.origins.order(['o1', 'o2'])).toEqual(['o1', 'o2'])
    expect(group.told.health).toEqual(['o1 down', 'o1 up'])
  })

  it.each<[string, Behaviour]>([
    ['is silent', silent],
    ['answers 500', serveStatus(500)],
  ])('take an origin for dead that %s, one probe at a time', async (_what, behaviour) => {
    const group = await start([behaviour], probing)
    await until('o1 to be down', () => group.told.health.includes('o1 down'))
    expect(group.servers[0]!.requests.length).toBeGreaterThanOrEqual(2)
  })

  it('end with the group', async () => {
    const group = await start([serveStatus(404)], probing)
    await until('a probe', () => group.servers[0]!.requests.length > 0)
    await group.origins.close()
    const before = group.servers[0]!.requests.length
    const other = await start([serveStatus(404)], probing)
    await until('three probes of another', () => other.servers[0]!.requests.length >= 3)
    expect(group.servers[0]!.requests.length).toBe(before)
  })
})

describe('a change of the origins', () => {
  it('lets transfers from a removed one end, asks it no more, and keeps connections and health of the others', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const inTwo: Behaviour = (_request, response) => {
      response.writeHead(200, { 'content-length': 6 }).write('abc')
      void held.then(() => response.end('def'))
    }
    const group = await start([inTwo, serveStatus(500)], { health: { failures: 1 } })
    const [s1, s2] = group.servers as [TestOrigin, TestOrigin]
    const running = await fetching(group)
    await fetching(group, ['o2'])
    expect(group.told.health).toEqual(['o2 down'])
    const s3 = await startOrigin()
    closing.push(s3.stop)
    group.origins.setOrigins([
      { id: 'o2', url: s2.url },
      { id: 'o3', url: s3.url },
    ])
    expect(group.origins.order(['o1', 'o2', 'o3'])).toEqual(['o3', 'o2'])
    expect(outcomes(await fetching(group, ['o1', 'o3']))).toBe('o3 ok')
    expect(s1.requests.length).toBe(1)
    release()
    expect(running.ok && (await read(running.answer.body)).toString()).toBe('abcdef')
  })

  it('replaces one whose address has changed, which begins anew', async () => {
    const group = await start([serveStatus(500)], { health: { failures: 1 } })
    await fetching(group, ['o1'])
    const moved = await startOrigin()
    closing.push(moved.stop)
    group.origins.setOrigins([{ id: 'o1', url: moved.url }])
    expect(outcomes(await fetching(group, ['o1']))).toBe('o1 ok')
  })
})

describe('an https origin', () => {
  it('is refused without its authority, and trusted with it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-tls-'))
    closing.push(async () => rmSync(folder, { recursive: true }))
    const [key, ca] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
    execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', ca, ...subject], { stdio: 'ignore' })
    let requests = 0
    const server = createServer({ key: readFileSync(key), cert: readFileSync(ca) }, (_request, response) => {
      if (++requests === 2) response.destroy()
      else response.end('abc')
    })
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve))
    closing.push(async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    })
    const url = `https://localhost:${(server.address() as AddressInfo).port}`
    const group = startGroup([], { fetch: { connections: 1 } })
    closing.push(group.close)
    group.origins.setOrigins(originsSchema.parse([{ id: 'o1', url }]))
    expect(outcomes(await fetching(group, ['o1']))).toBe('o1 unreachable')
    group.origins.setOrigins(originsSchema.parse([{ id: 'o1', url, ca }]))
    for (let count = 0; count < 2; count++) {
      const fetched = await fetching(group, ['o1'])
      expect(fetched.ok && (await read(fetched.answer.body)).toString()).toBe('abc')
    }
    expect(requests).toBe(3)
  })

  it('is refused in the configuration without a readable authority', () => {
    const parse = (ca: string, url = 'https://a') => originsSchema.safeParse([{ id: 'o1', url, ca }]).error?.issues[0]?.message
    expect(parse('/nowhere')).toMatch(/cannot be read/)
    expect(parse('package.json')).toBe('has no PEM certificate')
  })
})

describe('a process with origins', () => {
  it('ends by itself, though probes are on and connections are kept', async () => {
    const server = await startOrigin(serveBytes())
    closing.push(server.stop)
    const at = (file: string) => JSON.stringify(fileURLToPath(new URL(`../dist/origin/${file}.js`, import.meta.url)))
    const program = `
      import { Origins } from ${at('origins')}
      import { fetchSchema, healthSchema, originsSchema } from ${at('config')}
      const told = () => {}
      const origins = new Origins(
        {
          edgeId: 'e1', origins: originsSchema.parse([{ id: 'o1', url: '${server.url}' }]), fetch: fetchSchema.parse({}),
          health: healthSchema.parse({ probe: { interval: '1h' } }), now: Date.now, random: Math.random,
        },
        { onAttempt: told, onHealth: told, onHedge: told, onContinued: told, onBudgetSpent: told },
      )
      const request = { purpose: 'fill', method: 'GET', path: '/x', mode: 'media', signal: new AbortController().signal }
      const fetched = await origins.fetch(['o1'], { ...request, wanted: (status) => status === 200 })
      for await (const chunk of fetched.answer.body);`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'inherit', 'inherit'] })
    const code = await new Promise((resolve) => child.on('exit', resolve))
    expect([code, server.requests]).toEqual([0, ['/x']])
  })
})

function hold(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
