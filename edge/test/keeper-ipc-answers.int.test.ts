import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MillraceError } from '@millrace/common/errors'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Opened } from '../src/keeper/contract.js'
import { RemoteKeeper } from '../src/keeper/ipc/client.js'
import { PROTOCOL } from '../src/keeper/ipc/messages.js'
import { KeeperServer } from '../src/keeper/ipc/server.js'
import { FrameDecoder, FrameWriter } from '../src/keeper/ipc/wire.js'
import type { OriginAnswer } from '../src/origin/contract.js'
import { asking, HandFill, HandKeeper } from './hand-keeper.js'

describe('an answer that is not to be stored, in the keeper of another process', () => {
  let folder: string
  let path: string
  let keeper: HandKeeper
  let server: KeeperServer
  let faults: Error[]
  let open: RemoteKeeper[]

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-ipc-'))
    path = join(folder, 'keeper.sock')
    keeper = new HandKeeper()
    ;[faults, open] = [[], []]
    const onFault = (error: Error) => faults.push(error)
    server = await KeeperServer.listen({ keeper, path, purges: () => [], heldMs: 500, onLate: () => undefined, onFault })
  })
  afterEach(async () => {
    for (const each of open) each.close()
    await server.close()
    await rm(folder, { recursive: true })
  })

  const worker = () => {
    const remote = new RemoteKeeper({
      path,
      worker: 'worker-1.1',
      listener: { gone: () => undefined, disksOut: () => undefined, reset: () => undefined },
      purges: { restore: () => undefined, apply: () => undefined },
      onFault: (error) => faults.push(error),
    })
    open.push(remote)
    return remote
  }

  const CHUNK = Buffer.alloc(300_000, 'abcdefg')
  /** Told so many chunks, and what became of it. */
  const answering = (chunks: number, error?: Error) => {
    const seen = { read: 0, discarded: 0, left: 0, over: false }
    async function* body() {
      try {
        for (; seen.read < chunks; seen.read++) yield CHUNK
        if (error) throw error
      } finally {
        seen.over = true
      }
    }
    const fields: [string, string][] = [
      ['cache-control', 'no-store'],
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
    ]
    const length = chunks * CHUNK.length
    const answer: OriginAnswer = {
      ...{ origin: 'o1', status: 200, headers: {}, fields, length, body: body() },
      discard: () => seen.discarded++,
      leaveFills: () => seen.left++,
    }
    const fill = new HandFill()
    keeper.answer = () => ({ kind: 'fill', fill, led: true })
    fill.tell({ kind: 'pass', reason: 'directive', answer })
    return { seen, fields }
  }
  const led = async (remote: RemoteKeeper) => {
    const opened = await remote.open({ ...asking('/app/a'), takesAnswer: true })
    if (opened.kind !== 'fill') throw new Error(opened.kind)
    const head = await opened.fill.head
    if (head.kind !== 'pass' || !head.answer) throw new Error(JSON.stringify(head))
    return head.answer
  }

  it('lets go of it when nobody takes it in time, and says so to who comes later', async () => {
    const { seen } = answering(3)
    const answer = await led(worker())
    expect(server.heldAnswers).toBe(1)
    await until('the end of its time', () => seen.discarded === 1)
    await expect(read(answer.body)).rejects.toMatchObject({ code: 'origin-unreachable' })
    expect([seen.read, server.heldAnswers]).toEqual([0, 0])
  })

  it('lets go of it when its worker does not want it, or goes away', async () => {
    const unwanted = answering(3)
    const first = worker()
    const answer = await led(first)
    answer.discard()
    await until('it to be let go of', () => unwanted.seen.discarded === 1)
    const lost = answering(3)
    await led(first)
    first.close()
    await until('it to be let go of', () => lost.seen.discarded === 1)
    expect([unwanted.seen.read, lost.seen.read, server.heldAnswers]).toEqual([0, 0, 0])
  })

  it('gives it to nobody who did not ask for it, nor to another worker', async () => {
    const { seen } = answering(3)
    const remote = worker()
    const opened = (await remote.open(asking('/app/a'))) as Opened & { kind: 'fill' }
    expect(await opened.fill.head).toEqual({ kind: 'pass', reason: 'directive' })
    expect([seen.read, server.heldAnswers]).toEqual([0, 0])
    answering(3)
    await led(remote)
    const thief = connect(path)
    const frames: unknown[] = []
    const decoder = new FrameDecoder()
    thief.on('data', (chunk) => frames.push(...decoder.push(chunk as Buffer).map(({ head }) => head)))
    thief.write(frame({ t: 'take', protocol: PROTOCOL, worker: 'worker-2.1', fill: 1 }))
    await once(thief, 'close')
    expect(frames).toMatchObject([{ t: 'failed' }])
  })

  it('ends it as its origin did, when that breaks in mid-body', async () => {
    answering(2, new MillraceError('o1: too slow', { code: 'origin-timeout', source: 'origin', retryable: true }))
    const answer = await led(worker())
    let bytes = 0
    const reading = async () => {
      for await (const chunk of answer.body) bytes += chunk.length
    }
    await expect(reading()).rejects.toMatchObject({ code: 'origin-timeout', source: 'origin' })
    expect(bytes).toBe(2 * CHUNK.length)
  })

  it('breaks it when the keeper goes away meanwhile', async () => {
    answering(1000)
    const answer = await led(worker())
    const body = answer.body[Symbol.asyncIterator]()
    await body.next()
    await server.close()
    const rest = async () => {
      while (!(await body.next()).done);
    }
    await expect(rest()).rejects.toMatchObject({ code: 'origin-unreachable', source: 'internal' })
  })

  it('hands it over whole, with its fields as they came, out of the connections for fills', async () => {
    const { seen, fields } = answering(20)
    const answer = await led(worker())
    expect(answer).toMatchObject({ origin: 'o1', status: 200, fields, length: 20 * CHUNK.length, headers: { 'set-cookie': 'a=1, b=2' } })
    expect((await read(answer.body)).equals(Buffer.concat(Array.from({ length: 20 }, () => CHUNK)))).toBe(true)
    expect([seen.left, server.heldAnswers, faults]).toEqual([1, 0, []])
  })

  it('reads its origin no faster than it is read, and stops when the reader leaves', async () => {
    const { seen } = answering(1000)
    const answer = await led(worker())
    const body = answer.body[Symbol.asyncIterator]()
    await body.next()
    let last = -1
    await until('the origin to be held back', () => {
      const still = seen.read === last
      last = seen.read
      return still
    })
    expect(seen.read).toBeLessThan(10)
    await body.return!()
    await until('its end', () => seen.over)
    expect([seen.read < 10, seen.discarded, faults]).toEqual([true, 1, []])
  })
})

async function read(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

function frame(...messages: object[]): Buffer {
  const writer = new FrameWriter()
  for (const message of messages) writer.push(message)
  return writer.take()
}
