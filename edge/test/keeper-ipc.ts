import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '@millrace/common/testing/until'
import { afterEach, beforeEach } from 'vitest'
import { RemoteKeeper } from '../src/keeper/ipc/client.js'
import { PROTOCOL } from '../src/keeper/ipc/messages.js'
import { KeeperServer } from '../src/keeper/ipc/server.js'
import { FrameDecoder, FrameWriter } from '../src/keeper/ipc/wire.js'
import { HandKeeper } from './hand-keeper.js'

/** What a worker has heard from the keeper. */
export interface Told {
  gone: string[]
  out: string[]
  resets: number
  purged: string[]
  /** How many messages gave it what was in force before it came. */
  restored: number
}

/** A worker that speaks the wire by hand and reads only when told. */
export interface RawWorker {
  socket: Socket
  frames: { t: string; [key: string]: unknown }[]
  say: (...messages: object[]) => void
}

/** For each test of a suite a keeper that does what the test says, and the socket over which workers ask it. */
export interface KeeperIpc {
  readonly keeper: HandKeeper
  /** The latest one. */
  readonly server: KeeperServer
  /** Of the socket. */
  readonly path: string
  /** Those in force when a worker connects. */
  readonly purges: string[]
  /** The workers of each report that a purge waits for them. */
  readonly late: string[][]
  readonly faults: Error[]
  /** Starts a server again at the same path. */
  listen: () => Promise<void>
  worker: (name?: string, keeperWaitMs?: number) => { remote: RemoteKeeper; told: Told }
  rawWorker: (name: string) => Promise<RawWorker>
}

/** Registers the hooks. */
export function keeperIpc(): KeeperIpc {
  let folder: string
  let path: string
  let keeper: HandKeeper
  let server: KeeperServer | undefined
  const purges: string[] = []
  const late: string[][] = []
  const faults: Error[] = []
  const open: { close(): void }[] = []

  const listen = async () => {
    server = await KeeperServer.listen({
      keeper,
      path,
      purges: () => purges,
      times: { lateMs: 100, timeoutMs: 1000 },
      onLate: (workers) => late.push(workers),
      onFault: (error) => faults.push(error),
    })
  }
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-ipc-'))
    path = join(folder, 'keeper.sock')
    keeper = new HandKeeper()
    for (const each of [purges, late, faults]) each.length = 0
    await listen()
  })
  afterEach(async () => {
    for (const each of open.splice(0)) each.close()
    await server?.close()
    await rm(folder, { recursive: true })
  })

  return {
    get keeper() {
      return keeper
    },
    get server() {
      return server!
    },
    get path() {
      return path
    },
    purges,
    late,
    faults,
    listen,
    worker: (name = 'worker-1.1', keeperWaitMs = 3000) => {
      const told: Told = { gone: [], out: [], resets: 0, purged: [], restored: 0 }
      const remote = new RemoteKeeper({
        path,
        worker: name,
        keeperWaitMs,
        listener: {
          gone: (hashes) => told.gone.push(...hashes),
          disksOut: (paths) => {
            told.out = [...paths]
          },
          reset: () => {
            told.resets++
          },
        },
        purges: {
          restore: (lines) => {
            told.purged.push(...lines)
            told.restored++
          },
          apply: (line) => told.purged.push(line),
        },
        onFault: (error) => faults.push(error),
      })
      open.push(remote)
      return { remote, told }
    },
    rawWorker: async (name) => {
      const socket = connect(path)
      await once(socket, 'connect')
      const decoder = new FrameDecoder()
      const frames: RawWorker['frames'] = []
      socket.on('data', (chunk) => {
        for (const { head } of decoder.push(chunk as Buffer)) frames.push(head as { t: string })
      })
      const say = (...messages: object[]) => {
        socket.write(frame(...messages))
      }
      say({ t: 'hello', protocol: PROTOCOL, worker: name })
      await until('the welcome', () => frames.find((each) => each.t === 'purges'))
      open.push({ close: () => socket.destroy() })
      return { socket, frames, say }
    },
  }
}

/** Messages as they go over the wire. */
export function frame(...messages: object[]): Buffer {
  const writer = new FrameWriter()
  for (const message of messages) writer.push(message)
  return writer.take()
}

/** The nth of the hashes of keys. */
export function hash(n: number): string {
  return n.toString(16).padStart(32, '0')
}
