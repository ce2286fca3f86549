import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Keeper } from '../src/keeper/contract.js'
import { PROTOCOL } from '../src/keeper/ipc/messages.js'
import { KeeperServer } from '../src/keeper/ipc/server.js'
import { FrameDecoder, FrameWriter } from '../src/keeper/ipc/wire.js'
import { formatRecord, parseRecord } from '../src/purge/record.js'
import { PurgeTable } from '../src/purge/table.js'

const RECORDS = 50_000
const video = (n: number) => ({ n, scope: 'video' as const, videoId: String(n).padStart(26, '0'), block: false })

interface PurgesFrame {
  t: string
  lines: string[]
  n?: number
}

const noKeeper: Keeper = {
  open: async () => ({ kind: 'missing' }),
  used: () => undefined,
  damaged: () => undefined,
  prefetch: () => undefined,
}

describe('a worker that connects to a keeper of many purges', () => {
  let folder: string
  let server: KeeperServer
  let table: PurgeTable
  /** Characters of lines made in each turn of the loop, and how many lines in all. */
  let madeInTurn: number[]
  let made: number
  const cleanUp: (() => void)[] = []

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-snapshot-'))
    table = new PurgeTable()
    for (let n = 1; n <= RECORDS; n++) table.apply(video(n))
    madeInTurn = [0]
    made = 0
    server = await KeeperServer.listen({
      keeper: noKeeper,
      path: join(folder, 'keeper.sock'),
      purges: () => counted(table.snapshot()),
      times: { lateMs: 20_000, timeoutMs: 20_000 },
      onLate: () => undefined,
      onFault: () => undefined,
    })
    let over = false
    const turn = () => {
      madeInTurn.push(0)
      if (!over) setImmediate(turn)
    }
    turn()
    cleanUp.push(() => {
      over = true
    })
  })
  afterEach(async () => {
    for (const each of cleanUp.splice(0)) each()
    await server.close()
    await rm(folder, { recursive: true })
  })

  function* counted(lines: Iterable<string>): Generator<string> {
    for (const line of lines) {
      made++
      madeInTurn[madeInTurn.length - 1]! += line.length
      yield line
    }
  }

  /** Reads when it is told to. */
  const worker = async (name: string) => {
    const socket = connect(join(folder, 'keeper.sock'))
    cleanUp.push(() => socket.destroy())
    await once(socket, 'connect')
    const say = (message: object) => {
      const writer = new FrameWriter()
      writer.push(message)
      socket.write(writer.take())
    }
    say({ t: 'hello', protocol: PROTOCOL, worker: name })
    const frames: PurgesFrame[] = []
    const read = () => {
      const decoder = new FrameDecoder()
      socket.on('data', (chunk: Buffer) => {
        for (const { head } of decoder.push(chunk)) if ((head as PurgesFrame).t.startsWith('purge')) frames.push(head as PurgesFrame)
      })
    }
    const whole = () => until('the snapshot', () => frames.find(({ n }) => n !== undefined))
    return { say, read, frames, whole, lines: () => frames.flatMap(({ lines }) => lines) }
  }
  const greeted = (...names: string[]) => until('the greeting', () => names.every((name) => server.workers.includes(name)))

  it('and reads nothing is told only so much', async () => {
    await worker('worker-1.1')
    await until('the first lines', () => made > 0)
    await until('no more of them', async () => {
      const before = made
      for (let turns = 0; turns < 100; turns++) await new Promise((resolve) => setImmediate(resolve))
      return made === before
    })
    expect(made).toBeLessThan(RECORDS / 2)
  })

  it('knows of a purge that is made meanwhile no earlier than of all before it', async () => {
    const { say, read, frames, whole, lines } = await worker('worker-1.1')
    await greeted('worker-1.1')
    const later = { n: RECORDS + 1, scope: 'all' as const }
    table.apply(later)
    const told = server.broadcastPurge(formatRecord(later))
    read()
    const { n } = await whole()
    expect(n).toBe(1)
    expect(frames.map(({ t }) => t)).not.toContain('purge')
    say({ t: 'purged', n })
    expect(await told).toBe(1)
    const copy = new PurgeTable()
    copy.restore(lines())
    expect(copy.covers({ key: 'o1 /a', generation: RECORDS })).toBe(true)
  })

  it('gets them bit by bit, so that the keeper does not pause, also with others beside it', async () => {
    const names = ['worker-1.1', 'worker-2.1', 'worker-3.1']
    const workers = await Promise.all(names.map(worker))
    for (const { read } of workers) read()
    await Promise.all(workers.map(({ whole }) => whole()))
    for (const { lines } of workers) {
      expect(lines().length).toBe(RECORDS)
      expect(lines().map((line) => parseRecord(line)?.n)).toEqual(Array.from({ length: RECORDS }, (_, i) => i + 1))
    }
    expect(Math.max(...madeInTurn)).toBeLessThan(3 * 65_000)
  })
})
