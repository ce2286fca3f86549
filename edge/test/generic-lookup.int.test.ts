import { MillraceError } from '@millrace/common/errors'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { BodyReader } from '../src/cache/body.js'
import type { EntryMeta, HeaderField } from '../src/cache/entry-meta.js'
import type { GenericDependencies } from '../src/generic/contract.js'
import { handleGeneric } from '../src/generic/handler.js'
import { genericKey, selectedKey } from '../src/generic/keys.js'
import { BufferPool } from '../src/http/buffer-pool.js'
import type { Exchange } from '../src/http/exchange.js'
import { createHttpServer, type HttpServer } from '../src/http/uws.js'
import { BackgroundRevalidation } from '../src/keeper/background.js'
import type { Keeper, Opened } from '../src/keeper/contract.js'
import type { Fetched, OriginAnswer } from '../src/origin/contract.js'
import { raw } from './edge.js'

const BASE = genericKey('o1', '/app/a')!

const meta = (id: string, change: Partial<EntryMeta> = {}): EntryMeta => ({
  id: id.padEnd(16, '0'),
  key: BASE.text,
  status: 200,
  headers: [],
  length: 5,
  origin: 'o1',
  generation: 0,
  bornAt: Date.now(),
  freshUntil: Date.now() + 60_000,
  staleWhileRevalidate: 0,
  staleIfError: 0,
  ...change,
})
const MARKER = meta('a', { varies: ['foo'], length: 0, freshUntil: Number.MAX_SAFE_INTEGER })

/** A request whose keeper, store and origin do what a test says, at the moment that it says. */
describe('a lookup', () => {
  let server: HttpServer
  let port: number
  let store: Map<string, EntryMeta>
  let open: () => Promise<Opened> | Opened
  let fetched: () => Fetched
  let dependencies: GenericDependencies
  let discarded: number

  beforeEach(async () => {
    store = new Map()
    discarded = 0
    open = () => ({ kind: 'pass', reason: 'not-now' })
    fetched = () => ({ ok: true, answer: answerOf('origin'), attempts: [] })
    const keeper: Keeper = { open: async () => open(), used: () => undefined, damaged: () => undefined, prefetch: () => undefined }
    dependencies = {
      edgeId: 'e1',
      keeper,
      background: new BackgroundRevalidation(keeper),
      entries: {
        open: async (key) => {
          const found = store.get(key.hash)
          return found && { meta: found, body: bodyOf('right'.slice(0, found.length)), tier: 'disk' }
        },
      },
      fillBody: () => undefined,
      origins: {
        order: (route) => [...route],
        fetch: async () => fetched(),
        continued: () => {
          throw new Error('no fill runs here')
        },
      },
      paths: [{ prefix: '/app', mode: 'generic', origin: 'o1' }],
      invalidations: { invalidate: async () => undefined, doubtful: () => false },
      sending: () => ({ pool: new BufferPool(1 << 20) }),
      now: Date.now,
    }
    const handle = (exchange: Exchange) => {
      handleGeneric(exchange, exchange.fields(), dependencies.paths[0]!, dependencies).catch(() => exchange.cut())
    }
    server = createHttpServer({ handle, onOver: () => undefined })
    const { address } = await server.listen({ host: '127.0.0.1', port: 0 })
    port = address.port
  })
  afterEach(async () => {
    server.stopListening()
    await server.idle()
  })

  const answerOf = (text: string): OriginAnswer => ({
    origin: 'o1',
    status: 200,
    headers: {},
    fields: [],
    length: text.length,
    body: (async function* () {
      yield Buffer.from(text)
    })(),
    discard: () => {
      discarded++
    },
    leaveFills: () => undefined,
  })
  const ask = async (method = 'GET') => (await raw(port, `${method} /app/a HTTP/1.1\r\nHost: h\r\nfoo: 1\r\n\r\n`)).text

  it('that finds a marker where another variant was stored meanwhile follows it, and never answers with it', async () => {
    const fields: HeaderField[] = [['foo', '1']]
    open = () => {
      store.set(BASE.hash, MARKER)
      store.set(selectedKey(BASE, MARKER, fields)!.hash, meta('b'))
      return { kind: 'stored', revalidated: false }
    }
    expect(await ask()).toMatch(/x-cache: hit\r\n[\s\S]*\r\n\r\nright$/)
  })

  it('goes its own way when all it finds is a marker, again and again', async () => {
    store.set(BASE.hash, MARKER)
    store.set(selectedKey(BASE, MARKER, [['foo', '1']])!.hash, MARKER)
    open = () => ({ kind: 'stored', revalidated: false })
    expect(await ask()).toMatch(/x-cache: bypass\r\n[\s\S]*\r\n\r\norigin$/)
  })

  it('takes no confirmation of one entry for that of another', async () => {
    store.set(BASE.hash, meta('a', { freshUntil: Date.now() - 1 }))
    let opens = 0
    open = () => {
      if (++opens > 1) return { kind: 'pass', reason: 'directive' }
      store.set(BASE.hash, MARKER)
      store.set(selectedKey(BASE, MARKER, [['foo', '1']])!.hash, meta('b', { freshUntil: Date.now() - 1 }))
      return { kind: 'stored', revalidated: true }
    }
    expect(await ask()).toMatch(/\r\n\r\norigin$/)
  })

  it('asks again when the keeper went away while it waited', async () => {
    let opens = 0
    open = () => {
      if (++opens > 1) {
        store.set(BASE.hash, meta('a'))
        return { kind: 'stored', revalidated: false }
      }
      const head = Promise.resolve({ kind: 'failed' as const, attempts: [] })
      return { kind: 'fill', led: true, fill: { head, available: 0, state: 'broken', progress: async () => undefined } }
    }
    expect(await ask()).toMatch(/\r\n\r\nright$/)
  })

  it('passes by the cache where what is stored is in doubt', async () => {
    store.set(BASE.hash, meta('a'))
    dependencies.invalidations.doubtful = (key) => key === BASE.text
    expect(await ask()).toMatch(/detail=doubtful\r\n[\s\S]*\r\n\r\norigin$/)
  })

  it('lets go of an answer that it cannot send', async () => {
    dependencies.sending = () => {
      throw new MillraceError('no', { code: 'no', source: 'internal', retryable: false })
    }
    await raw(port, 'POST /app/a HTTP/1.1\r\nHost: h\r\ncontent-length: 0\r\n\r\n', 'close')
    expect(discarded).toBe(1)
  })
})

function bodyOf(text: string): BodyReader {
  return { read: async (_buffer, at, end) => Buffer.from(text).subarray(at, end), close: () => undefined }
}
