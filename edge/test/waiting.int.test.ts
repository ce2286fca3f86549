import { mkdir, rm, symlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { describe, expect, it } from 'vitest'
import { cacheFiles, segment, VIDEO } from './edge.js'
import { BODY_LENGTH, bytesOf, serveBytes, serveInTwo } from './origin.js'
import { scene } from './scene.js'

const PATH = segment(1)
const BODY = bytesOf(PATH, BODY_LENGTH)

describe('requests that wait for a fill', () => {
  const at = scene()
  const ask = async (route = 'o1') => {
    const { status, headers, body } = await at.edge.get(`/${route}${PATH}`)
    return [status, headers['x-cache'], body.equals(BODY)]
  }
  const running = (count: number) => until(`${count} requests`, async () => (await at.edge.count('running_requests')) === count)

  it('get 503 with Retry-After beyond fetch.maxWaiters, and the others everything', async () => {
    await at.restart({ fetch: { maxWaiters: 3 } })
    const half = serveInTwo(100_000)
    at.o1.behave(half.behaviour)
    const leader = ask()
    await until('the fill', () => at.o1.requests.length === 1)
    const waiters = Array.from({ length: 3 }, () => ask())
    await running(4)
    const refused = await at.edge.get(`/o1${PATH}`)
    expect([refused.status, refused.headers['retry-after'], refused.headers['x-cache']]).toEqual([503, '1', 'refused'])
    half.release()
    for (const answer of [leader, ...waiters]) expect((await answer)[2]).toBe(true)
  })

  it('for its head longer than fetch.lockTimeout fetch for themselves, and later ones at once', async () => {
    await at.restart({ fetch: { lockTimeout: '200ms', headersTimeout: '20s' } })
    let answerFirst = () => {}
    at.o1.behave((incoming, response) => {
      if (at.o1.requests.length > 1) return serveBytes()(incoming, response)
      answerFirst = () => serveBytes()(incoming, response)
    })
    const leader = ask()
    await until('the fill', () => at.o1.requests.length === 1)
    const waiters = await Promise.all(Array.from({ length: 5 }, () => ask()))
    for (const answer of [...waiters, await ask()]) expect(answer).toEqual([200, 'bypass', true])
    expect(at.o1.requests.length).toBe(7)
    answerFirst()
    expect(await leader).toEqual([200, 'miss', true])
    await at.edge.idle()
    expect(await ask()).toEqual([200, 'hit', true])
  })

  it.each<[string, (file: string) => Promise<unknown>]>([
    ['opened', (file) => symlink(file, file)],
    ['read', (file) => mkdir(file)],
  ])('are served from elsewhere when its file cannot be %s: what it began with, or past the cache', async (_what, spoil) => {
    // More than what stays in memory.
    const half = serveInTwo(280_000)
    at.o1.behave((incoming, response) => (at.o1.requests.length > 1 ? serveBytes() : half.behaviour)(incoming, response))
    const abort = new AbortController()
    const leader = await request(`${at.edge.url}/o1${PATH}`, { signal: abort.signal })
    await until('the head', async () => (await at.edge.get(`/o1${PATH}`, { range: 'bytes=0-9' })).status === 206)
    const sharing = ask()
    await running(2)
    const file = await until('its file', async () => (await cacheFiles(at.folder)).tmp[0])
    await rm(file)
    await spoil(file)
    // Who has the file open, or shares it, has all of it.
    const part = await at.edge.get(`/o1${PATH}`, { range: 'bytes=0-999' })
    expect([part.status, part.headers['x-cache'], part.body.equals(BODY.subarray(0, 1000))]).toEqual([206, 'coalesced', true])
    abort.abort()
    await expect(leader.body.arrayBuffer()).rejects.toThrow()
    half.release()
    expect(await sharing).toEqual([200, 'coalesced', true])
    await at.edge.idle()
    expect((await ask()).slice(2)).toEqual([true])
  })

  it.each([{ scope: 'all' }, { scope: 'video', videoId: VIDEO }, { scope: 'revision', videoId: VIDEO, rev: 'r1' }])(
    'before a purge ($scope) get it to the end; it is not stored, and who comes after gets a fill of their own',
    async (scope) => {
      const half = serveInTwo(100_000)
      at.o1.behave(half.behaviour)
      const before = [ask(), ask()]
      await running(2)
      await until('the fill', () => at.o1.requests.length === 1)
      await at.purge(scope)
      const after = ask()
      await until('another fill', () => at.o1.requests.length === 2)
      half.release()
      for (const one of before) expect((await one)[2]).toBe(true)
      expect(await after).toEqual([200, 'miss', true])
      await at.edge.idle()
      expect(await at.edge.count('fills_total', { name: 'outcome', value: 'purged' })).toBe(1)
      expect(await ask()).toEqual([200, 'hit', true])
      expect((await cacheFiles(at.folder)).entries.length).toBe(1)
    },
  )

  it('are not slowed down by one that reads nothing, which takes no memory of its own', async () => {
    const large = 6 << 20
    at.o1.behave(serveBytes(large))
    const stuck = Array.from({ length: 20 }, () => {
      const socket = connect(at.edge.port, '127.0.0.1', () => socket.write(`GET /o1${PATH} HTTP/1.1\r\nHost: e\r\n\r\n`))
      return socket.pause()
    })
    await until('the fill', () => at.o1.requests.length === 1)
    expect((await at.edge.get(`/o1${PATH}`)).body.equals(bytesOf(PATH, large))).toBe(true)
    await at.edge.idle()
    expect(at.o1.requests.length).toBe(1)
    expect((await at.edge.get(`/o1${PATH}`)).headers['x-cache']).toBe('hit')
    for (const socket of stuck) socket.destroy()
    await running(0)
  })

  it('all of them may leave: the fill goes on and is stored', async () => {
    const half = serveInTwo(100_000)
    at.o1.behave(half.behaviour)
    const abort = new AbortController()
    const gone = Array.from({ length: 5 }, () =>
      request(`${at.edge.url}/o1${PATH}`, { signal: abort.signal }).then(({ body }) => body.arrayBuffer()),
    )
    await running(5)
    abort.abort()
    for (const one of gone) await expect(one).rejects.toThrow()
    await running(0)
    half.release()
    await at.edge.idle()
    expect([await ask(), at.o1.requests.length]).toEqual([[200, 'hit', true], 1])
    expect(await at.edge.count('client_aborts_total')).toBe(5)
  })

  it('for its body are not subject to fetch.lockTimeout: they have bytes already', async () => {
    await at.restart({ fetch: { lockTimeout: '100ms' } })
    const half = serveInTwo(100_000)
    at.o1.behave(half.behaviour)
    const leader = ask()
    await until('the head', async () => (await at.edge.get(`/o1${PATH}`, { range: 'bytes=0-9' })).status === 206)
    const waiters = Array.from({ length: 5 }, () => ask())
    await running(6)
    await until('longer than the limit', async () => (await at.edge.get(`/o1${PATH}`, {}, 'HEAD')).headers['x-cache'] === 'coalesced')
    half.release()
    expect(await leader).toEqual([200, 'miss', true])
    for (const waiter of waiters) expect(await waiter).toEqual([200, 'coalesced', true])
    expect(at.o1.requests.length).toBe(1)
  })

  it('behind a purge of another video are served from the fill, which is stored', async () => {
    const half = serveInTwo(100_000)
    at.o1.behave(half.behaviour)
    const leader = ask()
    await until('the fill', () => at.o1.requests.length === 1)
    await at.purge({ scope: 'video', videoId: VIDEO.replace('01', '02') })
    const waiter = ask()
    await running(2)
    half.release()
    expect([await leader, await waiter, at.o1.requests.length]).toEqual([[200, 'miss', true], [200, 'coalesced', true], 1])
    await at.edge.idle()
    expect(await ask()).toEqual([200, 'hit', true])
  })
})
