import { until } from '@millrace/common/testing/until'
import { describe, expect, it } from 'vitest'
import { raw, segment } from './edge.js'
import type { Behaviour } from './origin.js'
import { serveResource } from './resource.js'
import { scene } from './scene.js'

const PATH = segment(1)

/** Of one connection, by RFC 9110 §7.6.1 and by what Connection lists. */
const HOP_BY_HOP = { connection: 'x-listed, keep-alive', 'keep-alive': 'timeout=77', 'x-listed': 'one hop', te: 'trailers', upgrade: 'h2c' }
/** Of one client. */
const OWN = { authorization: 'Bearer secret', cookie: 'session=1', 'x-forwarded-for': '10.0.0.1', referer: 'https://site.example/' }
const RESPONSE = {
  connection: 'x-listed',
  'x-listed': 'one hop',
  'proxy-authenticate': 'Basic',
  'set-cookie': 'session=1',
  'set-cookie2': 'session=2',
  authorization: 'Bearer secret',
  cookie: 'session=1',
}

/** Whose answers carry what is of one hop or of one client beside all else. */
function serveWith(cacheControl: string): Behaviour {
  return serveResource({ body: Buffer.alloc(1000, 'a'), headers: { etag: '"1"', 'cache-control': cacheControl, ...RESPONSE } })
}

describe('fields of one connection or one client, of media,', () => {
  const at = scene()
  const ask = async () => {
    // As bytes, because HTTP clients keep some of these fields to themselves.
    const fields = Object.entries({ ...HOP_BY_HOP, ...OWN }).map(([name, value]) => `${name}: ${value}\r\n`)
    const { text } = await raw(at.edge.port, `GET /o1${PATH} HTTP/1.1\r\nHost: e\r\n${fields.join('')}\r\n`)
    await at.edge.idle()
    const head = text.slice(0, text.indexOf('\r\n\r\n')).toLowerCase().split('\r\n')
    return {
      status: Number(head[0]!.split(' ')[1]),
      phase: head.find((line) => line.startsWith('x-cache: '))?.slice(9),
      names: head.slice(1).map((line) => line.slice(0, line.indexOf(':'))),
    }
  }
  const expectNone = (names: readonly string[]) => {
    for (const name of [...Object.keys(RESPONSE), 'keep-alive', 'upgrade']) expect(names).not.toContain(name)
  }
  const expectNoneUpstream = () => {
    for (const headers of at.o1.headers) {
      const { connection, ...rest } = headers
      // The edge's own.
      expect(connection).toBe('keep-alive')
      for (const name of [...Object.keys(HOP_BY_HOP), ...Object.keys(OWN)].filter((one) => one !== 'connection'))
        expect(rest).not.toHaveProperty(name)
    }
  }

  it('never reach the client, nor the origin: on a miss, a hit from disk and from RAM, and a revalidation', async () => {
    at.o1.behave(serveWith('max-age=60'))
    const tier = async (value: string) => at.edge.count('answers_total', { name: 'tier', value })
    const seen = new Set<string | undefined>()
    const look = async () => {
      const { status, phase, names } = await ask()
      expect(status).toBe(200)
      seen.add(phase)
      expectNone(names)
    }
    await until('an answer of each tier', async () => {
      await look()
      return (await tier('disk')) > 0 && (await tier('ram')) > 0
    })
    at.forward(61_000)
    await look()
    await look()
    expect(seen).toEqual(new Set(['miss', 'hit', 'revalidated']))
    expect(at.o1.headers.length).toBe(2)
    expectNoneUpstream()
  })

  it('never reach the client, nor the origin, with what passes by the cache', async () => {
    at.o1.behave(serveWith('private'))
    for (let i = 0; i < 2; i++) {
      const { phase, names } = await ask()
      expect(phase).toBe('bypass')
      expectNone(names)
    }
    expectNoneUpstream()
  })

  it('make no key of their own', async () => {
    at.o1.behave(serveWith('max-age=60'))
    await ask()
    expect((await at.edge.get(`/o1${PATH}`, { cookie: 'session=2', authorization: 'Bearer other' })).headers['x-cache']).toBe('hit')
    expect(at.o1.requests).toEqual([PATH])
  })
})
