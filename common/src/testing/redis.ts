import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bound } from '../process.js'
import { freePort } from './ports.js'
import { until } from './until.js'

export interface TestRedis {
  url: string
  port: number
  /** Stops the server and starts it again on the same port with the same data (append-only file). */
  restart: () => Promise<void>
  stop: () => Promise<void>
}

/** A real redis-server of one's own: own port, own folder, gone with the test. */
export async function startRedis(): Promise<TestRedis> {
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'millrace-redis-'))
  const start = async () => {
    const child = bound(
      'redis-server',
      ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes'],
      {
        stdio: 'ignore',
        reject: false,
      },
    )
    await until(`redis on port ${port}`, () => answersPing(port))
    // Wrapped: a bare execa subprocess is a promise, and an async function would wait for its end.
    return { child }
  }
  let running = await start()
  const kill = async () => {
    running.child.kill('SIGTERM')
    await running.child
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    restart: async () => {
      await kill()
      running = await start()
    },
    stop: async () => {
      await kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    socket.once('data', (data) => {
      socket.destroy()
      resolve(data.toString().startsWith('+PONG'))
    })
    socket.once('error', () => resolve(false))
  })
}
