import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseConfig } from '@millrace/common/config/load'
import { type JobEvent, jobEventSchema } from '@millrace/common/contracts/events'
import { newVideoId } from '@millrace/common/contracts/ids'
import { EVENT_STREAM, QUEUE_NAME } from '@millrace/common/contracts/redis'
import { jobId, type Preset, type SourceRef, type TranscodeJob } from '@millrace/common/contracts/transcode-job'
import { stopInPhases } from '@millrace/common/lifecycle'
import { createLogger } from '@millrace/common/log'
import { bound } from '@millrace/common/process'
import { startRedis } from '@millrace/common/testing/redis'
import { until } from '@millrace/common/testing/until'
import BeeQueue from 'bee-queue'
import { Redis } from 'ioredis'
import { startApp } from '../../src/app.js'
import { configSchema } from '../../src/config.js'
import { CONTROL_TOKEN, RSYNC_SECRET, RSYNC_USER, startOrigin, type TestOrigin } from './origin.js'
import { CMS_TOKEN, startSources } from './sources.js'

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

export const PRESET: Preset = {
  name: 'test',
  version: 1,
  segmentDuration: 4,
  maxFrameRate: 60,
  x264Preset: 'ultrafast',
  rungs: [180, 90].map((size) => ({ size, crf: 30, maxrateKbps: 800, bufsizeKbps: 1600, profile: 'high' as const })),
  audio: { bitrateKbpsPerChannel: 48, maxChannels: 2 },
}

export type Fleet = Awaited<ReturnType<typeof startFleet>>

/** Redis, sources and two origins; transcoders in this process or as processes of their own, as a test wants. */
export async function startFleet() {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-transcoder-'))
  const redis = await startRedis()
  const client = new Redis(redis.url, { maxRetriesPerRequest: null })
  client.on('error', () => {})
  const sources = await startSources()
  const origins = [await startOrigin('o1'), await startOrigin('o2')]
  const producer = new BeeQueue(QUEUE_NAME, {
    redis: { host: '127.0.0.1', port: redis.port },
    isWorker: false,
    getEvents: false,
    storeJobs: false,
  })
  producer.on('error', () => {})
  const log = createLogger({ service: 'transcoder', level: process.env.TEST_LOG ?? 'silent' })
  const closers: (() => Promise<unknown>)[] = []

  const rawConfig = (id: string, overrides: Record<string, unknown> = {}) => ({
    id,
    redis: { url: redis.url },
    admin: { listen: '127.0.0.1:0' },
    workspace: join(folder, id),
    cms: { url: sources.url, token: CMS_TOKEN },
    publish: { rsync: { user: RSYNC_USER, secret: RSYNC_SECRET }, controlToken: CONTROL_TOKEN, attempts: 2, connectTimeout: '2s' },
    sources: { allowPrivate: ['127.0.0.0/8'], attempts: 3 },
    queue: { stallInterval: '1s', backoff: '50ms' },
    ...overrides,
  })

  const startWorker = async (id: string, overrides?: Record<string, unknown>) => {
    const app = await startApp(parseConfig(configSchema, rawConfig(id, overrides)), log)
    let stopped: Promise<boolean> | undefined
    const stop = () => {
      stopped ??= stopInPhases(app.phases, log)
      return stopped
    }
    closers.push(stop)
    return { app, stop, workspace: () => readdir(join(folder, id)) }
  }

  const spawnWorker = async (id: string, overrides?: Record<string, unknown>) => {
    const path = join(folder, `${id}.yaml`)
    await writeFile(path, JSON.stringify(rawConfig(id, overrides)))
    const child = bound(process.execPath, [MAIN, '--config', path], { stdout: 'pipe', stderr: 'inherit', reject: false })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    closers.push(async () => {
      child.kill('SIGKILL')
      await child
    })
    await until('a transcoder process', () => output.includes('"msg":"ready"'))
    return { child, output: () => output, workspace: () => readdir(join(folder, id)) }
  }

  const makeJob = (source: SourceRef, overrides: Partial<TranscodeJob> = {}): TranscodeJob => ({
    version: 1,
    videoId: newVideoId(),
    run: 1,
    source,
    preset: PRESET,
    placement: { origins: origins.map((origin) => origin.target), replicas: 2, minReplicas: 1 },
    attemptFloor: 0,
    maxAttempts: 3,
    limits: { maxSourceBytes: 50_000_000, maxDurationSeconds: 600 },
    ...overrides,
  })

  const enqueue = async (job: TranscodeJob) => {
    const id = jobId(job.videoId, job.run)
    await producer.createJob(job).setId(id).save()
    return id
  }

  const events = async (videoId: string): Promise<JobEvent[]> => {
    const entries = await client.xrange(EVENT_STREAM, '-', '+')
    return entries.map(([, fields]) => jobEventSchema.parse(JSON.parse(fields[1]!))).filter((event) => event.videoId === videoId)
  }

  const untilEvent = <T extends JobEvent['type']>(videoId: string, type: T, timeoutMs?: number) =>
    until(
      `event ${type} of ${videoId}`,
      async () => (await events(videoId)).find((event): event is Extract<JobEvent, { type: T }> => event.type === type),
      timeoutMs,
    )

  return {
    folder,
    redis,
    client,
    sources,
    origins: origins as [TestOrigin, TestOrigin],
    startWorker,
    spawnWorker,
    makeJob,
    enqueue,
    events,
    untilEvent,
    /** Puts a job on the queue and waits for its last event. */
    run: async (source: SourceRef, overrides?: Partial<TranscodeJob>) => {
      const job = makeJob(source, overrides)
      await enqueue(job)
      return until(`the end of ${job.videoId}`, async () =>
        (await events(job.videoId)).find(
          (event) => event.type === 'published' || event.type === 'cancelled' || (event.type === 'failed' && event.final),
        ),
      )
    },
    stop: async () => {
      for (const close of closers) await close()
      await producer.close(1000)
      client.disconnect()
      await Promise.all(origins.map((origin) => origin.stop()))
      await sources.stop()
      await redis.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
