import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type Behaviour,
  BODY_LENGTH,
  breakAfter,
  bytesOf,
  serveBytes,
  serveInTwo,
  serveStatus,
  startOrigin,
  type TestOrigin,
} from './origin.js'
import { readAll, startKeeper, type TestKeeper } from './test-keeper.js'

const PATH = '/dash/01hzy3v8k2m4n6p8q0r2s4t6v8/r1/fragment-1-f1-v1-x3.m4s'
const OTHER = '/dash/01hzy3v8k2m4n6p8q0r2s4t6v8/r1/fragment-2-f1-v1-x3.m4s'
const body = bytesOf(PATH, BODY_LENGTH)

describe('a keeper that fills its store', () => {
  let o1: TestOrigin
  let o2: TestOrigin
  let test: TestKeeper

  beforeEach(async () => {
    o1 = await startOrigin()
    o2 = await startOrigin()
    test = await startKeeper([o1, o2])
  })
  afterEach(async () => {
    await test.close()
    await Promise.all([o1.stop(), o2.stop()])
  })

  const nothingLeft = async () => {
    await test.keeper.idle()
    expect([await test.tmp(), test.store.has(test.request(PATH).key.hash), test.faults]).toEqual([[], false, []])
  }
  const chunked =
    (bytes: Buffer, last: (response: Parameters<Behaviour>[1]) => void): Behaviour =>
    (_request, response) => {
      response.writeHead(200, { 'content-type': 'video/mp4' })
      response.write(bytes, () => last(response))
    }

  it.each<[string, Behaviour]>([
    ['the origin hangs up in mid-body', breakAfter(100_000)],
    ['a chunked body ends without its last chunk', chunked(body.subarray(0, 100_000), (response) => response.destroy())],
    ['the origin falls silent in mid-body', serveInTwo(100_000).behaviour],
  ])('breaks for its readers and stores nothing when %s', async (_what, behaviour) => {
    o1.behave(behaviour)
    const found = await test.find(PATH, ['o1'])
    if (found.kind !== 'body') throw new Error(found.kind)
    await expect(readAll(found.body)).rejects.toMatchObject({ code: 'body-broken', source: 'origin' })
    await nothingLeft()
    expect(test.ended.map(({ outcome }) => outcome)).toEqual(['broken'])
    o1.behave(serveBytes())
    expect(await test.get(PATH, ['o1'])).toEqual({ kind: 'miss', body })
  })

  it('goes on with the other origins of a request whose small body breaks before anyone had a byte', async () => {
    const small = 5000
    o1.behave(breakAfter(100, small))
    o2.behave(serveBytes(small))
    expect(await test.get(PATH)).toEqual({ kind: 'miss', body: bytesOf(PATH, small) })
    await test.keeper.idle()
    expect(test.ended.map(({ outcome }) => outcome)).toEqual(['failed', 'stored'])
    o2.behave(breakAfter(100, small))
    expect(await test.find(OTHER)).toMatchObject({
      kind: 'exhausted',
      attempts: [
        { origin: 'o1', outcome: 'unreachable' },
        { origin: 'o2', outcome: 'unreachable' },
      ],
    })
  })

  it('hides a break that another origin makes good', async () => {
    const etag = { etag: '"same"' }
    o1.behave((request, response) => {
      response.writeHead(200, { 'content-length': BODY_LENGTH, ...etag })
      response.write(bytesOf(request.url ?? '', BODY_LENGTH).subarray(0, 200_000), () => response.destroy())
    })
    o2.behave((request, response) => {
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1])
      response.writeHead(206, { ...etag, 'content-range': `bytes ${from}-${BODY_LENGTH - 1}/${BODY_LENGTH}` })
      response.end(body.subarray(from))
    })
    expect(await test.get(PATH)).toEqual({ kind: 'miss', body })
    await test.keeper.idle()
    expect((await test.get(PATH)).kind).toBe('hit')
    expect([o1.requests.length, o2.requests.length]).toEqual([1, 1])
  })

  it('never takes a part that nobody asked for, a redirect or an error as the whole', async () => {
    for (const status of [206, 302, 403, 500, 503]) {
      o1.behave(serveStatus(status))
      o2.behave(serveStatus(status))
      expect((await test.find(PATH)).kind).toBe('exhausted')
    }
    await nothingLeft()
  })

  it('breaks a body of unknown length that outgrows maxObject, and lets the next ones pass', async () => {
    o1.behave((_request, response) => void response.writeHead(200, { 'transfer-encoding': 'chunked' }).end(bytesOf(PATH, 9 << 20)))
    const found = await test.find(PATH, ['o1'])
    if (found.kind !== 'body') throw new Error(found.kind)
    await expect(readAll(found.body)).rejects.toMatchObject({ code: 'body-broken' })
    await nothingLeft()
    expect(test.ended[0]?.outcome).toBe('outgrown')
    expect(await test.find(PATH, ['o1'])).toMatchObject({ kind: 'pass', reason: 'too-large' })
  })

  it('answers 503 beyond the limits of fills and of waiters', async () => {
    await test.close()
    test = await startKeeper([o1], { maxFills: 1, maxWaiters: 1 })
    const half = serveInTwo(1000)
    o1.behave(half.behaviour)
    const first = test.get(PATH)
    await until('the fill', () => o1.requests.length === 1)
    const second = test.get(PATH)
    for (const path of [PATH, OTHER])
      await expect(test.find(path)).rejects.toMatchObject({ code: 'edge-busy', status: 503, retryable: true })
    half.release()
    await Promise.all([first, second])
    await test.keeper.idle()
    expect((await test.get(OTHER)).kind).toBe('miss')
  })

  it('sends who waits too long for a head their own way, and tells later ones at once', async () => {
    await test.close()
    test = await startKeeper([o1], { lockTimeoutMs: 50 })
    let answer = () => {}
    o1.behave((request, response) => {
      answer = () => serveBytes()(request, response)
    })
    const leader = test.get(PATH)
    await until('the fill', () => o1.requests.length === 1)
    expect(await test.find(PATH)).toMatchObject({ kind: 'pass', reason: 'lock-timeout' })
    expect(await test.keeper.open(test.request(PATH))).toEqual({ kind: 'pass', reason: 'lock-timeout' })
    answer()
    expect(await leader).toEqual({ kind: 'miss', body })
    await test.keeper.idle()
    expect((await test.get(PATH)).kind).toBe('hit')
  })

  it("lets waiters go on with their own origins when the leader's fails", async () => {
    let refuse = () => {}
    o1.behave((_request, response) => {
      refuse = () => response.writeHead(503).end()
    })
    // Beyond its route the fill asks o2 as well, which has nothing at first.
    let asked = 0
    o2.behave((request, response) => (asked++ === 0 ? serveStatus(503) : serveBytes())(request, response))
    const leader = test.find(PATH, ['o1'])
    await until('the fill', () => o1.requests.length === 1)
    const same = test.find(PATH, ['o1'])
    refuse()
    expect((await leader).kind).toBe('exhausted')
    expect((await same).kind).toBe('exhausted')
    expect(await test.get(PATH, ['o2'])).toEqual({ kind: 'miss', body })
  })

  it('sends the waiters of two routes after a failed leader to one more fill', async () => {
    await test.close()
    // An origin that only the second route names, so that the first fill cannot reach it.
    const o3 = await startOrigin()
    test = await startKeeper([o1, o2, o3])
    let refuse = () => {}
    o1.behave((_request, response) => {
      refuse = () => response.destroy()
    })
    o2.behave(serveStatus(503))
    let third = 0
    o3.behave((request, response) => (third++ === 0 ? serveStatus(503) : serveBytes())(request, response))
    const leader = test.find(PATH, ['o1'])
    await until('the fill', () => o1.requests.length === 1)
    const waiters = Promise.all(Array.from({ length: 20 }, () => test.get(PATH, ['o1', 'o3'])))
    refuse()
    expect((await leader).kind).toBe('exhausted')
    // The leader's fill asked o3 too, so it counts as asked.
    expect((await waiters).every(({ kind }) => kind === 'exhausted')).toBe(true)
    expect(third).toBe(1)
    await o3.stop()
  })

  it.each([
    ['private', { 'cache-control': 'private' }],
    ['coded', { 'content-encoding': 'br' }],
    ['varying', { vary: 'cookie' }],
    ['with a head that no entry can hold', { 'x-long': 'x'.repeat(3000) }],
  ])('tells everyone at once to fetch their own when an answer is %s, and the next ones without asking', async (_what, headers) => {
    let answer = () => {}
    o1.behave((request, response) => {
      answer = () => serveBytes(BODY_LENGTH, headers)(request, response)
    })
    const all = Promise.all(Array.from({ length: 20 }, () => test.find(PATH, ['o1'])))
    await until('the fill', () => o1.requests.length === 1)
    answer()
    expect((await all).every(({ kind }) => kind === 'pass')).toBe(true)
    expect((await test.find(PATH, ['o1'])).kind).toBe('pass')
    expect(o1.requests.length).toBe(1)
    await nothingLeft()
    test.advance(10_001)
    o1.behave(serveBytes())
    expect((await test.get(PATH, ['o1'])).kind).toBe('miss')
  })

  it('remembers a 404 by path and the origins that said it', async () => {
    o1.behave(serveStatus(404))
    o2.behave(serveStatus(404))
    expect(await test.find(PATH, ['o1'])).toMatchObject({ kind: 'exhausted', attempts: [{ origin: 'o1', outcome: 'missing' }] })
    const asked = o1.requests.length
    expect((await test.find(PATH, ['o1'])).kind).toBe('negative')
    expect((await test.find(PATH, ['o2', 'o1'])).kind).toBe('negative')
    expect((await test.find(OTHER, ['o1'])).kind).toBe('exhausted')
    expect(o1.requests.length).toBe(asked + 1)
    test.advance(2001)
    o1.behave(serveBytes())
    expect((await test.get(PATH, ['o1'])).kind).toBe('miss')
  })

  it('remembers no 404 while an origin of the route fails, which may be the one that has it', async () => {
    o1.behave(serveStatus(404))
    await o2.stop()
    expect((await test.find(PATH)).kind).toBe('exhausted')
    await o2.start()
    expect((await test.get(PATH)).kind).toBe('miss')
    await test.keeper.idle()
    expect(test.ended.at(-1)?.cause).toBe('replica-missing')
  })

  it('does not store what began before a purge; its viewers get it to the end, later ones a fill of their own', async () => {
    const half = serveInTwo(100_000)
    o1.behave(half.behaviour)
    const first = test.get(PATH, ['o1'])
    await until('the fill', () => o1.requests.length === 1)
    test.purge()
    o1.behave(serveBytes())
    expect(await test.get(PATH, ['o1'])).toEqual({ kind: 'miss', body })
    half.release()
    expect(await first).toEqual({ kind: 'miss', body })
    await test.keeper.idle()
    expect(test.ended.map(({ outcome }) => outcome).sort()).toEqual(['purged', 'stored'])
    expect((await test.get(PATH, ['o1'])).kind).toBe('hit')
    test.purge()
    expect((await test.get(PATH, ['o1'])).kind).toBe('miss')
    await test.keeper.idle()
    expect(test.ended.at(-1)).toMatchObject({ outcome: 'stored', cause: 'purged' })
  })

  it('asks its origin once for 1,000 concurrent opens of a cold key, and gives each the whole', async () => {
    const answers = await Promise.all(Array.from({ length: 1000 }, () => test.get(PATH)))
    expect(answers.every((answer) => answer.body.equals(body))).toBe(true)
    expect(answers.filter(({ kind }) => kind === 'miss').length).toBe(1)
    expect([o1.requests.length, o2.requests.length, test.keeper.coalesced]).toEqual([1, 0, 999])
    expect(test.files.size).toBe(0)
  })

  it('gives a waiter the bytes that are there while the origin still sends, and goes on when all have left', async () => {
    const half = serveInTwo(100_000)
    o1.behave(half.behaviour)
    const leader = await test.find(PATH)
    const waiter = await test.find(PATH)
    if (leader.kind !== 'body' || waiter.kind !== 'body') throw new Error(leader.kind)
    expect((await readAll(waiter.body, 50_000, 100_000)).equals(body.subarray(50_000, 100_000))).toBe(true)
    leader.body.close()
    half.release()
    await test.keeper.idle()
    expect(await test.get(PATH)).toEqual({ kind: 'hit', body })
  })

  it('is held up by no reader that reads nothing, who gets every byte in the end', async () => {
    const slow = await test.find(PATH)
    if (slow.kind !== 'body') throw new Error(slow.kind)
    expect((await test.get(PATH)).body.equals(body)).toBe(true)
    await test.keeper.idle()
    // Replaced and gone from its name, but not for whoever has it open.
    await test.store.drop(test.request(PATH).key.hash)
    expect((await readAll(slow.body)).equals(body)).toBe(true)
    expect(test.files.size).toBe(0)
  })

  it('has the first bytes ready before any write is done', async () => {
    let write = () => {}
    const held = new Promise<void>((resolve) => {
      write = resolve
    })
    test.store.failures.write = () => held
    const found = await test.find(PATH)
    if (found.kind !== 'body') throw new Error(found.kind)
    const first = await found.body.read(Buffer.alloc(1 << 18), 0, BODY_LENGTH)
    expect(first.length).toBeGreaterThan(0)
    expect(body.subarray(0, first.length).equals(first)).toBe(true)
    write()
    expect((await readAll(found.body)).equals(body)).toBe(true)
  })

  it.each([0, 1, 65_536, 65_537])('fills a body of %i bytes, its length told or not', async (length) => {
    const bytes = bytesOf(PATH, length)
    o1.behave(serveBytes(length))
    o2.behave((_request, response) => {
      response.writeHead(200, { 'content-type': 'video/mp4' })
      response.flushHeaders()
      response.end(bytesOf(OTHER, length))
    })
    expect(await test.get(PATH, ['o1'])).toEqual({ kind: 'miss', body: bytes })
    expect(await test.get(OTHER, ['o2'])).toEqual({ kind: 'miss', body: bytesOf(OTHER, length) })
    await test.keeper.idle()
    expect(await test.get(PATH, ['o1'])).toEqual({ kind: 'hit', body: bytes })
    expect(await test.get(OTHER, ['o2'])).toEqual({ kind: 'hit', body: bytesOf(OTHER, length) })
  })

  it('says why it had to fetch', async () => {
    const { hash } = test.request(PATH).key
    const causeOf = async () => {
      await test.get(PATH)
      await test.keeper.idle()
      return test.ended.at(-1)?.cause
    }
    expect(await causeOf()).toBe('cold')
    const stored = await test.store.open(test.request(PATH).key)
    test.keeper.damaged(hash, '0000000000000000')
    await until('the report', () => test.store.has(hash))
    test.keeper.damaged(hash, stored!.meta.id)
    await until('the drop', () => !test.store.has(hash))
    expect(await causeOf()).toBe('damaged')
    await test.store.drop(hash)
    test.store.wasEvicted.add(hash)
    expect(await causeOf()).toBe('evicted')
    test.advance(3_600_001)
    expect(await causeOf()).toBe('expired')
  })

  it('fetches nothing of a video that was deleted, neither for a request nor ahead', async () => {
    await test.get(PATH)
    await test.keeper.idle()
    test.block('01hzy3v8k2m4n6p8q0r2s4t6v8')
    for (const path of [PATH, OTHER]) await expect(test.find(path)).rejects.toMatchObject({ code: 'video-deleted', status: 410 })
    test.keeper.prefetch(test.request(OTHER))
    expect([test.prefetches, o1.requests]).toEqual([['pointless'], [PATH]])
    const another = PATH.replace('v8/', 'v9/')
    expect((await test.get(another)).kind).toBe('miss')
  })

  it('fetches ahead only what is not there, within its budget', async () => {
    await test.close()
    test = await startKeeper([o1], { prefetch: { maxConcurrent: 1, bytesPerSecond: 1000 } })
    const ahead = (path: string) => test.keeper.prefetch(test.request(path))
    ahead(PATH)
    ahead(PATH)
    ahead(OTHER)
    await test.keeper.idle()
    ahead(PATH)
    ahead(OTHER)
    expect(test.prefetches).toEqual(['started', 'busy', 'busy', 'stored', 'over-budget'])
    test.advance(1000 * (BODY_LENGTH / 1000))
    ahead(OTHER)
    await test.keeper.idle()
    expect([test.prefetches.at(-1), (await test.get(OTHER)).kind]).toEqual(['started', 'hit'])
    o1.behave(serveStatus(404))
    const missing = `${PATH.slice(0, -3)}mp4`
    expect((await test.find(missing)).kind).toBe('exhausted')
    ahead(missing)
    expect(test.prefetches.at(-1)).toBe('pointless')
  })
})
