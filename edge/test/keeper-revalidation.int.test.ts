import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { HeaderField } from '../src/cache/entry-meta.js'
import { cacheKey } from '../src/cache/key.js'
import { variantKey } from '../src/cache/vary.js'
import type { FillRequest } from '../src/keeper/contract.js'
import { type Behaviour, bytesOf, serveBytes, serveStatus, startOrigin, type TestOrigin } from './origin.js'
import { findIn, readAll, startKeeper, type TestKeeper } from './test-keeper.js'

const PATH = '/files/01hzy3v8k2m4n6p8q0r2s4t6v8/r1/main.m3u8'
const LENGTH = 100_000
const body = bytesOf(PATH, LENGTH)
const HOUR = 3_600_001

/** A resource of one version that answers conditional requests. */
function versioned(etag: string, bytes: Buffer, extra: Record<string, string> = {}): Behaviour {
  return (request, response) => {
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304, { etag, ...extra }).end()
    response.writeHead(200, { etag, 'content-length': bytes.length, ...extra }).end(bytes)
  }
}

describe('a keeper with a stale entry', () => {
  let o1: TestOrigin
  let o2: TestOrigin
  let test: TestKeeper

  beforeEach(async () => {
    o1 = await startOrigin(versioned('"1"', body))
    o2 = await startOrigin(versioned('"1"', body))
    test = await startKeeper([o1, o2])
    await test.get(PATH)
    await test.keeper.idle()
    test.advance(HOUR)
  })
  afterEach(async () => {
    await test.close()
    await Promise.all([o1.stop(), o2.stop()])
  })

  const outcome = async () => {
    await test.keeper.idle()
    return test.ended.at(-1)?.outcome
  }

  it.each<[string, Behaviour, string]>([
    ['fail', serveStatus(503), 'server-error'],
    ['hang up', (_request, response) => void response.destroy(), 'unreachable'],
    ['are silent', () => undefined, 'timeout'],
  ])('keeps it when all origins %s, so that it may still be served', async (_what, behaviour, said) => {
    o1.behave(behaviour)
    o2.behave(behaviour)
    expect(await test.find(PATH)).toMatchObject({ kind: 'exhausted', attempts: [{ outcome: said }, { outcome: said }] })
    expect(await outcome()).toBe('failed')
    expect(test.store.has(test.request(PATH).key.hash)).toBe(true)
    o1.behave(versioned('"1"', body))
    expect((await test.get(PATH)).kind).toBe('revalidated')
  })

  it('drops it when the whole route says 404, and not when one origin of it fails', async () => {
    const { hash } = test.request(PATH).key
    o1.behave(serveStatus(404))
    o2.behave(serveStatus(503))
    expect((await test.find(PATH)).kind).toBe('exhausted')
    expect(test.store.has(hash)).toBe(true)
    o2.behave(serveStatus(404))
    expect((await test.find(PATH)).kind).toBe('exhausted')
    expect(test.store.has(hash)).toBe(false)
    expect((await test.find(PATH)).kind).toBe('negative')
  })

  it('drops it when its origin now says that nothing may be stored', async () => {
    o1.behave(serveBytes(LENGTH, { 'cache-control': 'no-store' }))
    expect(await test.find(PATH)).toMatchObject({ kind: 'pass', reason: 'directive' })
    expect(test.store.has(test.request(PATH).key.hash)).toBe(false)
  })

  it('takes no 304 for another representation as a confirmation', async () => {
    const newer = bytesOf('newer', LENGTH)
    o1.behave((request, response) => {
      if (request.headers['if-none-match']) return void response.writeHead(304, { etag: '"2"' }).end()
      response.writeHead(200, { etag: '"2"', 'content-length': newer.length }).end(newer)
    })
    expect(await test.get(PATH)).toEqual({ kind: 'miss', body: newer })
    expect([await outcome(), (await test.get(PATH)).kind]).toEqual(['stored', 'hit'])
  })

  it.each([
    ['was replaced or dropped', () => test.store.drop(test.request(PATH).key.hash)],
    ['was purged', () => test.purge()],
  ])('fetches the whole when the entry %s while its origin confirmed it', async (_what, spoil) => {
    o1.behave((request, response) => {
      void Promise.resolve(spoil()).then(() => versioned('"1"', body)(request, response))
    })
    expect(await test.get(PATH)).toEqual({ kind: 'miss', body })
  })

  it('confirms nothing when an entry without validators went stale', async () => {
    const bare = `${PATH}.mpd`
    o1.behave((_request, response) => void response.writeHead(200, { 'content-length': 10 }).end('0123456789'))
    await test.get(bare)
    await test.keeper.idle()
    test.advance(HOUR)
    expect((await test.get(bare)).kind).toBe('miss')
    expect(o1.headers.at(-1)).not.toHaveProperty('if-none-match')
  })

  it('replaces it by a 200', async () => {
    const newer = bytesOf('newer', LENGTH + 1)
    o1.behave(versioned('"2"', newer))
    expect(await test.get(PATH)).toEqual({ kind: 'miss', body: newer })
    await test.keeper.idle()
    expect(test.ended.at(-1)).toMatchObject({ outcome: 'stored', cause: 'expired' })
    expect(await test.get(PATH)).toEqual({ kind: 'hit', body: newer })
  })

  it('asks its origin once for 1,000 concurrent opens, and serves the confirmed entry to all', async () => {
    o1.behave(versioned('"1"', body, { 'cache-control': 'max-age=60' }))
    const answers = await Promise.all(Array.from({ length: 1000 }, () => test.get(PATH)))
    expect(answers.every((answer) => answer.kind === 'revalidated' && answer.body.equals(body))).toBe(true)
    expect([o1.requests.length, o2.requests.length, await outcome()]).toEqual([2, 0, 'revalidated'])
    expect((await test.get(PATH)).kind).toBe('hit')
    test.advance(60_001)
    expect((await test.get(PATH)).kind).toBe('revalidated')
  })

  it('asks its origin at each use for what must be revalidated at each use', async () => {
    o1.behave(versioned('"1"', body, { 'cache-control': 'max-age=0' }))
    for (let i = 0; i < 3; i++) expect((await test.get(PATH)).kind).toBe('revalidated')
    expect(o1.requests.length).toBe(4)
  })
})

describe('a keeper in generic mode', () => {
  let o1: TestOrigin
  let test: TestKeeper
  beforeEach(async () => {
    o1 = await startOrigin()
    test = await startKeeper([o1])
  })
  afterEach(async () => {
    await test.close()
    await o1.stop()
  })

  const request = (path: string, headers: HeaderField[] = [], key = cacheKey(`o1 ${path}`)): FillRequest => ({
    key,
    order: ['o1'],
    upstream: { mode: 'generic', path, headers },
  })
  const open = (asked: FillRequest) => findIn(test.keeper, test, asked)
  const text = async (asked: FillRequest) => {
    const found = await open(asked)
    if (found.kind === 'body') return (await readAll(found.body)).toString()
    if (found.kind === 'stored') return found.entry.meta.varies ? 'varies' : (await readAll(found.entry.body)).toString()
    return found.kind
  }
  const byLanguage: Behaviour = (asked, response) => {
    const language = String(asked.headers['accept-language'])
    response.writeHead(200, { vary: 'accept-language', etag: '"e"', 'content-length': language.length }).end(language)
  }

  it('gives a request that joined nothing of a variant that is not its own', async () => {
    let answer = () => {}
    o1.behave((asked, response) => {
      answer = () => byLanguage(asked, response)
    })
    const german = text(request('/a?b=1', [['accept-language', 'de']]))
    await until('the fill', () => o1.requests.length === 1)
    const english = open(request('/a?b=1', [['accept-language', 'en']]))
    const another = text(request('/a?b=1', [['accept-language', 'de']]))
    answer()
    expect([await german, await another, await english]).toEqual(['de', 'de', { kind: 'pass', order: ['o1'], reason: 'vary' }])
  })

  it('stores variants under keys of their own, says so under the key of the resource, and bounds their number', async () => {
    o1.behave(byLanguage)
    const base = cacheKey('o1 /v')
    let marker = ''
    const variant = (language: string) => variantKey(base, marker, `accept-language=${language}`)
    for (let i = 0; i < 10; i++) {
      const language = `x${i}`
      // The first finds nothing that says by what the resource varies.
      const key = i === 0 ? undefined : variant(language)
      expect(await text(request('/v', [['accept-language', language]], key))).toBe(language)
      await test.keeper.idle()
      marker ||= (await test.store.open(base))!.meta.id
    }
    expect(await text(request('/v'))).toBe('varies')
    const stored = Array.from({ length: 10 }, (_, i) => test.store.has(variant(`x${i}`).hash))
    expect(stored).toEqual([false, false, true, true, true, true, true, true, true, true])
    expect(o1.requests.length).toBe(10)
  })

  it('hands the answer that is not to be stored to the one who led, if they take it, and to nobody else', async () => {
    let served = 0
    let answer = () => {}
    o1.behave((_request, response) => {
      const mine = `answer ${++served}`
      answer = () => response.writeHead(200, { 'cache-control': 'private', 'content-length': mine.length }).end(mine)
    })
    const leader = open({ ...request('/p'), takesAnswer: true })
    await until('the fill', () => o1.requests.length === 1)
    const joiner = open({ ...request('/p'), takesAnswer: true })
    answer()
    expect(await joiner).toEqual({ kind: 'pass', order: ['o1'], reason: 'directive' })
    const found = await leader
    if (found.kind !== 'pass' || !found.answer) throw new Error(found.kind)
    const chunks: Uint8Array[] = []
    for await (const chunk of found.answer.body) chunks.push(chunk)
    expect([Buffer.concat(chunks).toString(), o1.requests.length]).toEqual(['answer 1', 1])
  })

  it("sends the client's fields, and no range or condition but its own", async () => {
    o1.behave(versioned('"e"', Buffer.from('abc'), { 'cache-control': 'max-age=10' }))
    const headers: HeaderField[] = [
      ['accept', 'text/css'],
      ['range', 'bytes=0-0'],
      ['if-none-match', '"other"'],
    ]
    expect(await text(request('/f', headers))).toBe('abc')
    await test.keeper.idle()
    test.advance(10_001)
    expect(await text(request('/f', headers))).toBe('abc')
    const [first, second] = o1.headers
    expect(first).toMatchObject({ accept: 'text/css' })
    expect([first?.range, first?.['if-none-match'], second?.['if-none-match']]).toEqual([undefined, undefined, '"e"'])
  })

  it('lets an error of the origin pass, but counts it as none where something stale may be served', async () => {
    o1.behave(serveStatus(500))
    expect(await open(request('/e'))).toMatchObject({ kind: 'pass', reason: 'status' })
    test.advance(10_001)
    o1.behave(versioned('"e"', Buffer.from('abc'), { 'cache-control': 'max-age=10' }))
    expect(await text(request('/e'))).toBe('abc')
    await test.keeper.idle()
    test.advance(10_001)
    o1.behave(serveStatus(500))
    expect(await open(request('/e'))).toMatchObject({ kind: 'exhausted', attempts: [{ outcome: 'server-error' }] })
  })
})
