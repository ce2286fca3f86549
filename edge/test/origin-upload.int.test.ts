import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { request } from 'undici'
import { afterEach, describe, expect, it } from 'vitest'
import { raw, startTestEdge, tempFolder } from './edge.js'
import { type Behaviour, startOrigin, type TestOrigin } from './origin.js'
import { get, outcomes, startGroup, type TestGroup } from './origin-group.js'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const LIMITS = { headersTimeout: '300ms', bodyTimeout: '400ms' }

async function start(behaviour: Behaviour): Promise<TestGroup & { origin: TestOrigin }> {
  const origin = await startOrigin(behaviour)
  const group = startGroup([origin.url], { fetch: LIMITS, health: { failures: 1 } })
  closing.push(origin.stop, group.close)
  return { ...group, origin }
}

const uploading = (group: TestGroup, body: AsyncIterable<Uint8Array>) =>
  group.origins.fetch(['o1'], { ...get('/x', { method: 'POST', mode: 'generic', purpose: 'pass', body }), wanted: () => true })

/** Answers with how much it read. */
const count: Behaviour = (incoming, response) => {
  let bytes = 0
  incoming.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  incoming.on('end', () => response.end(String(bytes)))
}

async function* slowly(chunks: number, everyMs: number) {
  for (let at = 0; at < chunks; at++) {
    await delay(everyMs)
    yield Buffer.alloc(1000)
  }
}

describe('an upload', () => {
  it('that an origin does not read is its failure', async () => {
    const group = await start(() => undefined)
    async function* endless() {
      for (;;) yield Buffer.alloc(1 << 20)
    }
    expect(outcomes(await uploading(group, endless()))).toBe('o1 timeout')
    expect(group.told.health).toEqual(['o1 down'])
  })

  it('that is not answered in time once it is there is its failure', async () => {
    const group = await start((incoming) => incoming.resume())
    expect(outcomes(await uploading(group, slowly(2, 20)))).toBe('o1 timeout')
    expect(group.told.health).toEqual(['o1 down'])
  })

  it('that its client does not send on is the failure of the client, and no origin has anything to do with it', async () => {
    const group = await start(count)
    async function* stalled() {
      yield Buffer.alloc(1000)
      await new Promise(() => undefined)
    }
    await expect(uploading(group, stalled())).rejects.toMatchObject({ code: 'body-too-slow', source: 'client', status: 408 })
    expect([group.told.health, group.told.attempts]).toEqual([[], []])
  })

  it('may take longer than fetch.headersTimeout', async () => {
    const group = await start(count)
    const fetched = await uploading(group, slowly(10, 100))
    expect([outcomes(fetched), group.told.health]).toEqual(['o1 ok', []])
  })

  it('through an edge that its client does not send on is answered 408', async () => {
    const [folder, origin] = [await tempFolder(), await startOrigin(count)]
    closing.push(folder.remove, origin.stop)
    const edge = await startTestEdge(folder.path, [origin], { fetch: LIMITS, paths: [{ prefix: '/app', mode: 'generic', origin: 'o1' }] })
    closing.push(edge.stop)
    const { text } = await raw(edge.port, 'POST /app/a HTTP/1.1\r\nhost: e\r\ncontent-length: 1000\r\n\r\nbegun')
    expect(text).toMatch(/^HTTP\/1\.1 408 /)
    expect(text).toContain('body-too-slow')
  })

  it('through an edge may take longer than fetch.headersTimeout', async () => {
    const [folder, origin] = [await tempFolder(), await startOrigin(count)]
    closing.push(folder.remove, origin.stop)
    const edge = await startTestEdge(folder.path, [origin], { fetch: LIMITS, paths: [{ prefix: '/app', mode: 'generic', origin: 'o1' }] })
    closing.push(edge.stop)
    const { statusCode, body } = await request(`${edge.url}/app/a`, { method: 'POST', body: Readable.from(slowly(10, 100)) })
    expect([statusCode, await body.text()]).toEqual([200, '10000'])
  })
})
