import { createHash } from 'node:crypto'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { runJob } from '../src/bench/client-jobs.js'
import { startCountingOrigin } from '../src/bench/counting-origin.js'
import { ClosedEarly, HttpConnection } from '../src/bench/http-connection.js'
import { bytesOf } from '../src/harness/told-bytes.js'

let server: Server | undefined
afterEach(async () => {
  const closing = server
  server = undefined
  await new Promise((resolve) => (closing ? closing.close(resolve) : resolve(undefined)))
})

/** A server that sends these pieces, one after the other, to whatever it is asked. */
async function serve(pieces: readonly string[], end: 'keep' | 'close' = 'keep'): Promise<HttpConnection> {
  server = createServer((socket: Socket) => {
    socket.setNoDelay(true)
    socket.on('error', () => undefined)
    socket.on('data', () => {
      const send = (index: number) => {
        const piece = pieces[index]
        if (piece !== undefined) socket.write(piece, () => setImmediate(() => send(index + 1)))
        else if (end === 'close') socket.destroy()
      }
      send(0)
    })
  })
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  return HttpConnection.open((server.address() as AddressInfo).port)
}

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Cache: HIT\r\n\r\n'

describe("the bench's connection", () => {
  it('fails when the server hangs up in mid-body, or before it', async () => {
    await expect((await serve([`${HEAD}ab`], 'close')).get('/')).rejects.toThrow('closed')
  })

  it('fails on an answer without a length', async () => {
    await expect((await serve(['HTTP/1.1 200 OK\r\n\r\nab'])).get('/')).rejects.toThrow('without a length')
  })

  it('reads answers however they are cut, one after the other', async () => {
    const connection = await serve([...HEAD, 'a', 'bcd'])
    for (let turn = 0; turn < 2; turn++) {
      const answer = await connection.get('/', { digest: true })
      expect(answer).toMatchObject({ status: 200, bytes: 4, sha256: createHash('sha256').update('abcd').digest('hex') })
      expect(answer.headers.get('x-cache')).toBe('HIT')
      expect(answer.firstByteMs).toBeLessThanOrEqual(answer.wholeMs)
    }
    connection.close()
  })

  it('tells a connection that was closed while idle from one that broke', async () => {
    const connection = await serve([`${HEAD}abcd`], 'close')
    await connection.get('/')
    await expect(connection.get('/')).rejects.toBeInstanceOf(ClosedEarly)
    server?.close()
    await expect((await serve([`${HEAD}ab`], 'close')).get('/')).rejects.not.toBeInstanceOf(ClosedEarly)
  })
})

describe("the bench's clients, over an origin that counts", () => {
  it('a herd asks at once, and the origin tells each request of it', async () => {
    const origin = await startCountingOrigin({ bytes: 1000, answerAfterMs: 20, cacheControl: 'max-age=1' })
    try {
      const seen = await runJob({ job: 'at-once', port: origin.port, target: '/x', clients: 50 })
      const sha256 = createHash('sha256').update(bytesOf('/x', 1000)).digest('hex')
      expect(seen).toMatchObject({ statuses: { '200 ': 50 }, failures: {}, sha256: [sha256] })
      expect(origin.requests).toBe(50)
    } finally {
      await origin.stop()
    }
  })

  it('a crowd counts errors of connections that are cut, and answers of all others', async () => {
    const origin = await startCountingOrigin({ bytes: 10, answerAfterMs: 0, cacheControl: 'max-age=1' })
    try {
      const job = { job: 'crowd', port: origin.port, target: '/x', idle: 20, periodMs: 200, busy: 2, seconds: 0.2 } as const
      const seen = await runJob(job)
      expect(seen).toMatchObject({ errors: {} })
      expect((seen as { idleRequests: number }).idleRequests).toBeGreaterThanOrEqual(20)
      const later = runJob(job)
      await origin.stop()
      await expect(later.then((crowd) => ('errors' in crowd ? Object.keys(crowd.errors).length : 0))).resolves.toBeGreaterThan(0)
    } finally {
      await origin.stop()
    }
  })
})
