import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from '@millrace/common/config/load'
import { type Operation, operationSchema } from '@millrace/common/contracts/origin-api'
import { call } from '@millrace/common/http/client'
import { stopInPhases } from '@millrace/common/lifecycle'
import { createLogger, type Logger } from '@millrace/common/log'
import { until } from '@millrace/common/testing/until'
import { execa } from 'execa'
import { type App, startApp } from '../src/app.js'
import { type AssetRef, createLayout, type Layout } from '../src/assets/layout.js'
import { choosePackager } from '../src/choose-packager.js'
import { configSchema } from '../src/config.js'
import type { PreparedAsset } from './prepare-asset.js'

export const TOKEN = 'control-token-of-the-tests'
export const TRANSCODER = { user: 'transcoder', secret: 'transcoder-secret-0123' }
export const SIBLING = { user: 'sibling', secret: 'sibling-secret-0123456' }

export interface TestOrigin {
  app: App
  layout: Layout
  logs: string[]
  dataUrl: string
  controlUrl: string
  rsyncUrl: string
  /** Stops it; its folder stays for another start. */
  stop: () => Promise<void>
}

export function rawConfig(folder: string, change: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id: 'o1',
    listen: '127.0.0.1:0',
    control: { listen: '127.0.0.1:0', token: TOKEN },
    admin: { listen: '127.0.0.1:0' },
    root: join(folder, 'root'),
    state: join(folder, 'state'),
    rsync: { listen: '127.0.0.1:0', transcoders: [TRANSCODER], sibling: SIBLING },
    minFreeBytes: '1MiB',
    ...change,
  }
}

/** A whole origin in this process, with a real rsync daemon beside it. */
export async function startOrigin(folder: string, change: Record<string, unknown> = {}): Promise<TestOrigin> {
  const logs: string[] = []
  const log: Logger = createLogger({ service: 'origin', level: 'debug', destination: { write: (line) => void logs.push(line) } })
  const config = parseConfig(configSchema, rawConfig(folder, change))
  const app = await startApp(config, { log, packager: choosePackager(config, log) })
  const url = (address: { host: string; port: number }, scheme = 'http') => `${scheme}://${address.host}:${address.port}`
  return {
    app,
    layout: createLayout(config.root, config.state),
    logs,
    dataUrl: url(app.addresses.data),
    controlUrl: url(app.addresses.control),
    rsyncUrl: url(app.addresses.rsync, 'rsync'),
    stop: async () => {
      await stopInPhases(app.phases, log)
    },
  }
}

export async function tempFolder(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'millrace-origin-'))
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) }
}

/** rsync as a transcoder runs it, or as told. Never rejects: the exit code is the result. */
export async function rsync(args: string[], password: string): Promise<{ exitCode: number; stderr: string; stdout: string }> {
  const result = await execa('rsync', args, { env: { RSYNC_PASSWORD: password, LC_ALL: 'C' }, reject: false })
  return { exitCode: result.exitCode ?? -1, stderr: result.stderr, stdout: result.stdout }
}

export function stagingUrl(origin: TestOrigin, ref: AssetRef): string {
  return `${origin.rsyncUrl.replace('//', `//${TRANSCODER.user}@`)}/staging/${ref.videoId}/${ref.rev}/`
}

export async function upload(origin: TestOrigin, prepared: PreparedAsset, options: string[] = []): Promise<void> {
  const args = ['-rt', '--mkpath', '--partial', '--timeout=20', ...options, `${prepared.folder}/`, stagingUrl(origin, prepared.ref)]
  const { exitCode, stderr } = await rsync(args, TRANSCODER.secret)
  if (exitCode !== 0) throw new Error(`rsync ended with ${exitCode}: ${stderr}`)
}

export const control = <S extends Parameters<typeof call>[1]['schema']>(
  origin: TestOrigin,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  options: { body?: unknown; schema?: S } = {},
) => call<S>(`${origin.controlUrl}${path}`, { method, token: TOKEN, timeoutMs: 10_000, ...options })

export function assetPath(ref: AssetRef, tail = ''): string {
  return `/v1/assets/${ref.videoId}/${ref.rev}${tail}`
}

/** Asks for a commit and waits for its end. */
export async function commit(origin: TestOrigin, ref: AssetRef, assetSha256: string): Promise<Operation> {
  const body = { version: 1, assetSha256 }
  const started = await control(origin, 'POST', assetPath(ref, '/commit'), { body, schema: operationSchema })
  return ended(origin, started)
}

export async function ended(origin: TestOrigin, operation: Operation): Promise<Operation> {
  return until(`the end of the ${operation.kind}`, async () => {
    const now = await control(origin, 'GET', `/v1/operations/${operation.id}`, { schema: operationSchema })
    return now.state !== 'running' && now
  })
}
