import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from '@millrace/common/config/load'
import { stopInPhases } from '@millrace/common/lifecycle'
import { createLogger } from '@millrace/common/log'
import { until } from '@millrace/common/testing/until'
import { Agent, type Dispatcher, request } from 'undici'
import { type EdgeApp, startEdge } from '../src/app/single.js'
import { configSchema } from '../src/config.js'
import { sumOf } from '../src/harness/metrics-text.js'
import type { TestOrigin } from './origin.js'

export const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'

/** Data path of a segment. */
export function segment(number: number): string {
  return `/dash/${VIDEO}/r1/fragment-${number}-f1-v1-x3.m4s`
}

export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: Buffer
}

export interface TestEdge {
  url: string
  adminUrl: string
  app: EdgeApp
  port: number
  get: (path: string, headers?: Record<string, string>, method?: Dispatcher.HttpMethod) => Promise<Answer>
  admin: (path: string) => Promise<{ status: number; text: string }>
  /** What a metric says now, in sum over its labels or of those with one value. */
  count: (metric: string, label?: { name: string; value: string }) => Promise<number>
  /** Resolves when no fill is running: what may be stored, is. */
  idle: () => Promise<unknown>
  stop: () => Promise<void>
}

/** An edge in this process with its own agent, over `o1`, `o2` … */
export async function startTestEdge(
  cachePath: string,
  origins: Pick<TestOrigin, 'url'>[],
  overrides: Record<string, unknown> = {},
  now: () => number = Date.now,
): Promise<TestEdge> {
  const config = parseConfig(configSchema, edgeConfig(cachePath, origins, overrides))
  const log = createLogger({ service: 'edge', level: 'silent' })
  const app = await startEdge(config, { log, now })
  const agent = new Agent({ connections: 256, pipelining: 1 })
  const url = `http://127.0.0.1:${app.address.port}`
  const adminUrl = `http://127.0.0.1:${app.admin.port}`
  const admin = async (path: string) => {
    const { statusCode, body } = await request(adminUrl + path)
    return { status: statusCode, text: await body.text() }
  }
  return {
    url,
    adminUrl,
    app,
    port: app.address.port,
    get: (path, headers = {}, method = 'GET') => fetchAnswer(agent, url + path, headers, method),
    admin,
    count: async (metric, label) => sumOf((await admin('/metrics')).text, `millrace_edge_${metric}`, label),
    idle: () => until('no running fill', async () => (await admin('/metrics')).text.includes('running_fills{service="edge",id="e1"} 0')),
    stop: async () => {
      await agent.destroy()
      if (!(await stopInPhases(app.phases, log))) throw new Error('the edge did not stop cleanly')
    },
  }
}

export function edgeConfig(
  cachePath: string,
  origins: Pick<TestOrigin, 'url'>[],
  overrides: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    id: 'e1',
    listen: '127.0.0.1:0',
    admin: { listen: '127.0.0.1:0' },
    cache: { path: cachePath, size: '64MiB', maxObject: '8MiB' },
    origins: origins.map((origin, index) => ({ id: `o${index + 1}`, url: origin.url })),
    fetch: { connectTimeout: '1s', headersTimeout: '2s', bodyTimeout: '2s' },
    drainTimeout: '15s',
    // Probes would be among the requests that a test counts.
    health: { probe: false },
    log: { access: { sample: 0, always: [] } },
    ...overrides,
  }
}

async function fetchAnswer(agent: Agent, url: string, headers: Record<string, string>, method: Dispatcher.HttpMethod): Promise<Answer> {
  const response = await request(url, { dispatcher: agent, headers, method })
  return { status: response.statusCode, headers: response.headers, body: Buffer.from(await response.body.arrayBuffer()) }
}

export async function tempFolder(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'millrace-edge-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

/** Files of entries and of running fills, with what they take on disk. */
export async function cacheFiles(path: string): Promise<{ entries: string[]; tmp: string[]; diskBytes: number }> {
  const all = await readdir(join(path, 'v2'), { recursive: true, withFileTypes: true })
  const files = all.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  let diskBytes = 0
  for (const file of files) {
    const info = await stat(file).catch(() => undefined)
    diskBytes += Math.ceil((info?.size ?? 0) / 4096) * 4096
  }
  return {
    entries: files.filter((file) => !file.includes('/v2/tmp/') && !file.endsWith('/v2/index')),
    tmp: files.filter((file) => file.includes('/v2/tmp/')),
    diskBytes,
  }
}

/**
 * Sends bytes as they are; resolves with the first whole answer, or where `end` is `close` with all that comes until the edge closes.
 *
 * @param from another address of this host to come from
 */
export function raw(
  port: number,
  bytes: string | Uint8Array,
  end: 'answer' | 'close' = 'answer',
  from = '127.0.0.1',
): Promise<{ text: string; closed: boolean }> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect({ port, host: '127.0.0.1', localAddress: from }, () => socket.write(bytes))
    const finish = (closed: boolean) => {
      clearTimeout(limit)
      socket.destroy()
      resolve({ text, closed })
    }
    const limit = setTimeout(() => finish(false), 5000)
    socket.on('data', (data) => {
      text += data.toString('latin1')
      if (end === 'answer' && isWhole(text)) finish(false)
    })
    socket.on('close', () => finish(true))
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? finish(true) : reject(error)))
  })
}

function isWhole(text: string): boolean {
  const headEnd = text.indexOf('\r\n\r\n')
  const length = /\r\ncontent-length: (\d+)\r\n/.exec(text)
  return headEnd >= 0 && length !== null && text.length >= headEnd + 4 + Number(length[1])
}
