import { Agent, createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { performance } from 'node:perf_hooks'
import { afterEach, describe, expect, it } from 'vitest'
import { bodyOf, type SoakObject } from '../src/soak/catalog.js'
import type { Plan } from '../src/soak/plan.js'
import { Tally } from '../src/soak/tally.js'
import { Troubles } from '../src/soak/trouble.js'
import { watch } from '../src/soak/viewer.js'

const OBJECT: SoakObject = { path: '/dash/v/r1/fragment-1', bytes: 100_000, etag: '"e"', cacheControl: 'max-age=1' }
const RIGHT = bodyOf(OBJECT)
const WHOLE: Plan = { object: OBJECT, method: 'GET', headers: {}, right: [200], slow: false }
const PART: Plan = { ...WHOLE, headers: { range: 'bytes=10-19' }, part: { start: 10, end: 20 }, right: [206] }

let server: Server | undefined
afterEach(async () => {
  const closing = server
  server = undefined
  await new Promise((resolve) => (closing ? closing.close(resolve) : resolve(undefined)))
})

/** What the soak says of one request to a server that answers so. */
async function judged(answer: RequestListener, plan: Plan, trouble?: 'worker' | 'both-origins'): Promise<Tally & { served: boolean }> {
  server = createServer(answer)
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  const tally = new Tally()
  const troubles = new Troubles(() => performance.now())
  if (trouble) troubles.begin(trouble)
  const agent = new Agent()
  const { port } = server.address() as AddressInfo
  const bodies = new Map([[OBJECT.path, RIGHT]])
  const served = await watch({ objects: [OBJECT], bodies, target: (path) => path, port, tally, troubles, random: Math.random }, agent, plan)
  agent.destroy()
  return Object.assign(tally, { served })
}

function whole(body: Buffer, headers: Record<string, string> = {}): RequestListener {
  return (_request, response) => response.writeHead(200, { etag: OBJECT.etag, 'content-length': body.length, ...headers }).end(body)
}

describe('a soak counts as a difference', () => {
  it('one wrong byte', async () => {
    const wrong = Buffer.from(RIGHT)
    wrong[99_999]! ^= 1
    expect(await judged(whole(wrong), WHOLE)).toMatchObject({ differences: 1 })
  })

  it('a body that claims to be whole and is shorter or longer', async () => {
    expect(await judged(whole(RIGHT.subarray(1)), WHOLE)).toMatchObject({ differences: 1 })
    expect(await judged(whole(RIGHT.subarray(0, 99_999)), WHOLE)).toMatchObject({ differences: 1 })
    expect(await judged(whole(Buffer.concat([RIGHT, Buffer.alloc(1)])), WHOLE)).toMatchObject({ differences: 1 })
  })

  it('a part of another place, whatever its head says', async () => {
    const part = (range: string, start: number): RequestListener => {
      return (_request, response) => {
        const headers = { etag: OBJECT.etag, 'content-range': range, 'content-length': 10 }
        response.writeHead(206, headers).end(RIGHT.subarray(start, start + 10))
      }
    }
    expect(await judged(part('bytes 10-19/100000', 10), PART)).toMatchObject({ differences: 0, served: true })
    expect(await judged(part('bytes 10-19/100000', 11), PART)).toMatchObject({ differences: 1 })
    expect(await judged(part('bytes 10-19/100001', 10), PART)).toMatchObject({ differences: 1 })
  })

  it('a status that was not asked for, and the validator of another object', async () => {
    expect(await judged((_request, response) => response.writeHead(404).end(), WHOLE)).toMatchObject({ differences: 1, served: false })
    expect(await judged(whole(RIGHT, { etag: '"other"' }), WHOLE)).toMatchObject({ differences: 1 })
  })
})

describe('a soak excuses', () => {
  const cut: RequestListener = (_request, response) => {
    response.writeHead(200, { etag: OBJECT.etag, 'content-length': RIGHT.length })
    response.write(RIGHT.subarray(0, 1000), () => response.destroy())
  }
  const refuse: RequestListener = (_request, response) => response.writeHead(502).end()

  it('a broken transfer only while something is being killed', async () => {
    expect((await judged(cut, WHOLE)).broken).toEqual({ inTrouble: 0, otherwise: 1 })
    expect((await judged(cut, WHOLE, 'worker')).broken).toEqual({ inTrouble: 1, otherwise: 0 })
  })

  it('an error only while nobody can answer', async () => {
    expect((await judged(refuse, WHOLE, 'worker')).refused).toEqual({ inTrouble: 0, otherwise: 1 })
    expect((await judged(refuse, WHOLE, 'both-origins')).refused).toEqual({ inTrouble: 1, otherwise: 0 })
  })

  it('no byte that came before a transfer broke', async () => {
    const lie: RequestListener = (_request, response) => {
      response.writeHead(200, { etag: OBJECT.etag, 'content-length': RIGHT.length })
      response.write(Buffer.alloc(1000), () => response.destroy())
    }
    expect(await judged(lie, WHOLE, 'worker')).toMatchObject({ differences: 1 })
  })

  it('a client that leaves as it meant to', async () => {
    const left = await judged(whole(RIGHT), { ...WHOLE, abortAfter: 1 })
    expect(left).toMatchObject({ aborted: 1, differences: 0, broken: { inTrouble: 0, otherwise: 0 } })
  })
})
