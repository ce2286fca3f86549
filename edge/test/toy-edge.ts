import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { MillraceError } from '@millrace/common/errors'
import { createLogger } from '@millrace/common/log'
import { createRegistry } from '@millrace/common/metrics/registry'
import { until } from '@millrace/common/testing/until'
import { Agent, request } from 'undici'
import { afterEach, beforeEach } from 'vitest'
import { type Supervisor, type SupervisorOptions, supervise } from '../src/supervise/supervisor.js'
import { startOrigin, type TestOrigin } from './origin.js'

const CHILD = fileURLToPath(new URL('fixtures/child.mjs', import.meta.url))
export const log = createLogger({ service: 'toy', level: 'silent' })

export interface WorkerStatus {
  url: string
  told?: number
  purged: string[]
  resets: number
  reopened: number
  config: Record<string, unknown>
  there: boolean
}
export interface KeeperStatus {
  opens: number
  workers: string[]
}

/** For each test of a suite a supervisor in this process, when it is started, of a keeper and two workers that are toys over one origin. */
export interface ToyEdge {
  readonly folder: string
  readonly origin: TestOrigin
  readonly supervisor: Supervisor
  readonly agent: Agent
  /** What it has given up with. */
  readonly givenUp: MillraceError[]
  /** The settings of the toys. */
  config: (more?: Record<string, unknown>) => Record<string, unknown>
  start: (more?: Partial<SupervisorOptions>) => Promise<Supervisor>
  pidOf: (name: string) => number
  statusOf: (name: string) => Promise<WorkerStatus>
  keeperStatus: () => Promise<KeeperStatus>
  /** Of the workers, in order of their numbers. */
  urls: () => Promise<string[]>
  get: (url: string) => Promise<{ status: number; cache: unknown; body: Buffer }>
  admin: (path: string) => Promise<{ status: number; text: string }>
  /** The value of the first sample whose line starts so. */
  metric: (line: string) => Promise<number | undefined>
  /** Resolves when a child of this name is ready that is another process. */
  replaced: (name: string, pid: number) => Promise<void>
}

/** Registers the hooks. */
export function toyEdge(): ToyEdge {
  let folder: string
  let origin: TestOrigin
  let supervisor: Supervisor | undefined
  let agent: Agent
  const givenUp: MillraceError[] = []

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-toy-'))
    origin = await startOrigin()
    agent = new Agent({ connections: 600, pipelining: 1 })
    givenUp.length = 0
  })
  afterEach(async () => {
    await supervisor?.stopAll()
    supervisor = undefined
    await agent.destroy()
    await origin.stop()
    await rm(folder, { recursive: true })
  })

  const config = (more: Record<string, unknown> = {}) => ({ origin: origin.url, folder, ...more })
  const statusOf = async (name: string) => (await supervisor!.statuses()).get(name) as WorkerStatus
  const admin = async (path: string) => {
    const { port } = supervisor!.adminAddress
    const { statusCode, body } = await request(`http://127.0.0.1:${port}${path}`)
    return { status: statusCode, text: await body.text() }
  }
  return {
    get folder() {
      return folder
    },
    get origin() {
      return origin
    },
    get supervisor() {
      return supervisor!
    },
    get agent() {
      return agent
    },
    givenUp,
    config,
    start: async (more = {}) => {
      supervisor = await supervise({
        title: 'toy-edge',
        entry: CHILD,
        execArgv: [],
        workers: 2,
        config: config(),
        registry: createRegistry({ service: 'toy', id: 't1' }),
        admin: { listen: { host: '127.0.0.1', port: 0 } },
        drainTimeoutMs: 5000,
        log,
        onGiveUp: (error) => givenUp.push(error),
        ...more,
      })
      return supervisor
    },
    pidOf: (name) => supervisor!.children().find((child) => child.name === name)!.pid!,
    statusOf,
    keeperStatus: async () => (await supervisor!.statuses()).get('keeper') as KeeperStatus,
    urls: async () => Promise.all(['worker-1', 'worker-2'].map(async (name) => (await statusOf(name)).url)),
    get: async (url) => {
      const { statusCode, headers, body } = await request(url, { dispatcher: agent })
      return { status: statusCode, cache: headers['x-cache'], body: Buffer.from(await body.arrayBuffer()) }
    },
    admin,
    metric: async (line) => {
      const { status, text } = await admin('/metrics')
      if (status !== 200) throw new Error(text)
      const found = text.split('\n').find((each) => each.startsWith(line))
      return found === undefined ? undefined : Number(found.split(' ').at(-1))
    },
    replaced: async (name, pid) => {
      await until(`another ${name}`, () => {
        const now = supervisor!.children().find((child) => child.name === name)
        return now?.state === 'ready' && now.pid !== pid
      })
    },
  }
}

/** Also a zombie is: one that its parent has not seen end. */
export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
