import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from '@millrace/common/config/load'
import type { Video } from '@millrace/common/contracts/cms-api'
import type { JobEvent } from '@millrace/common/contracts/events'
import { EVENT_FIELD, EVENT_STREAM, QUEUE_NAME } from '@millrace/common/contracts/redis'
import { jobId, type TranscodeJob } from '@millrace/common/contracts/transcode-job'
import { stopInPhases } from '@millrace/common/lifecycle'
import { createLogger } from '@millrace/common/log'
import { startRedis, type TestRedis } from '@millrace/common/testing/redis'
import { until } from '@millrace/common/testing/until'
import { Redis } from 'ioredis'
import { type CmsApp, startCms } from '../src/app.js'
import { configSchema } from '../src/config.js'
import { FakeEdge, FakeOrigin, ORIGIN_TOKEN, testAsset } from './fakes.js'

export const INTERNAL_TOKEN = 'internal-token-0123456789'
export const log = createLogger({ service: 'cms-test', level: process.env.TEST_LOG ?? 'silent' })

/** A Redis of its own, two stand-in origins, two stand-in edges, and folders for one CMS. */
export class TestFleet {
  readonly origins = [new FakeOrigin('o1'), new FakeOrigin('o2')] as const
  readonly edges = [new FakeEdge('e1'), new FakeEdge('e2')] as const
  redisServer!: TestRedis
  redis!: Redis
  folder = ''
  #apps: CmsApp[] = []

  async start(): Promise<this> {
    this.folder = await mkdtemp(join(tmpdir(), 'millrace-cms-'))
    this.redisServer = await startRedis()
    this.redis = new Redis(this.redisServer.url, { maxRetriesPerRequest: null })
    this.redis.on('error', () => undefined)
    await Promise.all([...this.origins, ...this.edges].map((node) => node.start()))
    return this
  }

  async stop(): Promise<void> {
    await this.stopCms()
    this.redis.disconnect()
    await this.redisServer.stop()
    await Promise.all([...this.origins, ...this.edges].map((node) => node.stop()))
    await rm(this.folder, { recursive: true, force: true })
  }

  rawConfig(change: Record<string, unknown> = {}) {
    return {
      listen: '127.0.0.1:0',
      internalToken: INTERNAL_TOKEN,
      originToken: ORIGIN_TOKEN,
      redis: { url: this.redisServer.url },
      database: { path: join(this.folder, 'db') },
      sources: { path: join(this.folder, 'sources'), maxBytes: '1MiB' },
      origins: this.origins.map(({ id, url }) => ({ id, dataUrl: url, controlUrl: url, rsyncUrl: 'rsync://127.0.0.1:8730' })),
      edges: this.edges.map(({ id, url }) => ({ id, url: `http://${id}.test`, adminUrl: url })),
      jobs: { reconcileEvery: '200ms' },
      probe: { every: '100ms' },
      ...change,
    }
  }

  async startCms(change: Record<string, unknown> = {}): Promise<CmsApp> {
    const config = parseConfig(configSchema, this.rawConfig(change))
    const app = await startCms(config, log, (error) => {
      throw error
    })
    this.#apps.push(app)
    return app
  }

  async stopCms(): Promise<void> {
    for (const app of this.#apps.splice(0)) await stopInPhases(app.phases, log)
  }

  /** The transcoder's part: an event on the stream. */
  async say(event: JobEvent): Promise<void> {
    await this.redis.xadd(EVENT_STREAM, '*', EVENT_FIELD, JSON.stringify(event))
  }

  /** Resolves when every event said so far has been consumed. */
  async consumed(): Promise<void> {
    await until('an empty event stream', async () => (await this.redis.xlen(EVENT_STREAM)) === 0)
  }

  async queued(id: string): Promise<TranscodeJob | undefined> {
    const text = await this.redis.hget(`bq:${QUEUE_NAME}:jobs`, id)
    return text === null ? undefined : JSON.parse(text).data
  }

  /** Takes a job off the queue, as a worker that ends it does. */
  async finishJob(id: string): Promise<void> {
    await this.redis
      .multi()
      .hdel(`bq:${QUEUE_NAME}:jobs`, id)
      .lrem(`bq:${QUEUE_NAME}:waiting`, 0, id)
      .lrem(`bq:${QUEUE_NAME}:active`, 0, id)
      .exec()
  }
}

type Kind = JobEvent['type']

/** An event as a transcoder would send it; published means held by both origins unless told otherwise. */
export function event(
  type: Kind,
  videoId: string,
  attempt: number,
  change: { run?: number; heldBy?: string[]; final?: boolean } = {},
): JobEvent {
  const base = {
    version: 1 as const,
    videoId,
    rev: `r${attempt}`,
    attempt,
    jobId: jobId(videoId, change.run ?? 1),
    transcoderId: 't1',
    at: '2026-01-01T00:00:00.000Z',
  }
  const error = {
    code: 'not-a-video',
    source: 'source-media' as const,
    retryable: false,
    message: 'no tracks found',
    detail: 'ffprobe said no',
  }
  if (type === 'failed') return { ...base, type, stage: 'probe', error, final: change.final ?? true }
  if (type !== 'published') return { ...base, type }
  const heldBy = change.heldBy ?? ['o1', 'o2']
  const replicas = ['o1', 'o2'].map((originId) =>
    heldBy.includes(originId)
      ? { originId, state: 'held' as const }
      : { originId, state: 'failed' as const, error: { code: 'unreachable', source: 'origin' as const, retryable: true, message: 'down' } },
  )
  const timings = { fetch: 1, encode: 5 }
  return { ...base, type, asset: testAsset(videoId, attempt), replicas, source: { bytes: 77, sha256: 'ef'.repeat(32) }, timings }
}

/** The API's JSON calls, with the status that was expected. */
export function apiOf(url: string) {
  const call = async <T>(method: string, path: string, body?: unknown): Promise<{ status: number; body: T }> => {
    const response = await fetch(`${url}${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    const text = await response.text()
    return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as T }
  }
  const video = async (id: string) => (await call<Video>('GET', `/api/v1/videos/${id}`)).body
  return {
    call,
    video,
    create: async () => (await call<Video>('POST', '/api/v1/videos', { url: 'http://example.com/film.mp4' })).body,
    upload: (body: BodyInit, query = 'filename=film.mp4', headers: Record<string, string> = {}) =>
      fetch(`${url}/api/v1/videos?${query}`, {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/octet-stream', ...headers },
        ...(body instanceof ReadableStream && { duplex: 'half' }),
      } as RequestInit),
    becomes: (id: string, state: Video['state']) =>
      until(`${id} to be ${state}`, async () => {
        const now = await video(id)
        return now.state === state && now
      }),
  }
}
