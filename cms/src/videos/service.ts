import type { Readable } from 'node:stream'
import type { Video } from '@millrace/common/contracts/cms-api'
import { newVideoId } from '@millrace/common/contracts/ids'
import { CANCEL_CHANNEL, cancelKey } from '@millrace/common/contracts/redis'
import { jobId } from '@millrace/common/contracts/transcode-job'
import { type ErrorBody, MillraceError } from '@millrace/common/errors'
import type { Logger } from '@millrace/common/log'
import type { Redis } from 'ioredis'
import type { Kysely, Transaction } from 'kysely'
import { type CmsConfig, wantedReplicas } from '../config.js'
import { listReplicas, loseAttempts } from '../db/asset-store.js'
import type { Database, Source, VideoRow } from '../db/schema.js'
import { askForSweeps } from '../db/sweep-store.js'
import { findOpenRun, findRecord, insertRun, insertVideo, lockVideo, type OpenRun, updateRun, updateVideo } from '../db/video-store.js'
import { isFull } from '../placement/plan.js'
import { presetWith } from '../presets/default.js'
import type { JobQueue } from '../queue/bee-queue.js'
import { transcodeJob } from '../queue/job.js'
import { CANCEL_SECONDS } from '../queue/reconcile.js'
import type { Sources } from '../upload/sources.js'
import { isRunning, mustBecome, nextState } from './states.js'
import { toVideo } from './view.js'

export interface VideoServiceOptions {
  db: Kysely<Database>
  config: CmsConfig
  queue: JobQueue
  redis: Redis
  sources: Sources
  onChange: (videoId: string) => void
  now: () => Date
  log: Logger
}

/** What people do with videos. The row is written first; queue, origins and files follow it, now or by a reconciler. */
export class VideoService {
  readonly #options: VideoServiceOptions

  constructor(options: VideoServiceOptions) {
    this.#options = options
  }

  async createFromUrl(url: string, title?: string): Promise<Video> {
    const { pathname, hostname } = new URL(url)
    const name = lastSegment(pathname) || hostname
    return this.#create(newVideoId(), title ?? titleOf(name), { kind: 'url', name, url })
  }

  async createFromUpload(
    body: Readable,
    upload: { filename: string; title?: string | undefined; bytes?: number | undefined },
  ): Promise<Video> {
    const { sources } = this.#options
    const id = newVideoId()
    const name = upload.filename.split(/[/\\]/).at(-1) || 'upload'
    const stored = await sources.store(id, body, upload.bytes)
    return this.#create(id, upload.title ?? titleOf(name), { kind: 'stored', name, ...stored })
  }

  async retry(id: string): Promise<Video> {
    const { db, config, now } = this.#options
    const video = await this.#change(id, async (row, tx) => {
      const state = mustBecome(row.state, 'queue', 'retried')
      const run = row.run + 1
      await insertRun(tx, id, run, presetWith(config.preset), now())
      await updateVideo(tx, id, { state, run, error: null }, now())
    })
    const run = await findOpenRun(db, id, video.job?.run ?? 0)
    if (run) await this.enqueueSoon(run)
    return video
  }

  /** A queued job is cancelled at once; one that runs when its transcoder says so. */
  async cancel(id: string): Promise<Video> {
    const { now } = this.#options
    let waiting = false
    const video = await this.#change(id, async (row, tx) => {
      mustBecome(row.state, 'cancel', 'cancelled')
      waiting = row.state === 'queued'
      await updateRun(tx, id, row.run, { cancel_requested_at: now() })
    })
    const job = jobId(id, video.job?.run ?? 0)
    try {
      await this.#tellCancel(job)
      if (!waiting) return video
      await this.#options.queue.remove(job)
    } catch (error) {
      // The wish is in the row: the reconciler tells it when Redis is back.
      this.#options.log.warn({ err: error, jobId: job }, 'cancel not told yet')
      return video
    }
    return this.endRun(id, video.job?.run ?? 0, 'cancelled')
  }

  /** Gone for viewers at once; origins, queue and source follow. Deleting twice is no error. */
  async remove(id: string): Promise<Video> {
    const { sources, now, log } = this.#options
    const video = await this.#change(id, async (row, tx) => {
      const state = mustBecome(row.state, 'delete', 'deleted')
      if (isRunning(row.state)) await updateRun(tx, id, row.run, { cancel_requested_at: now() })
      await updateVideo(tx, id, { state }, now())
      await this.#askForSweeps(tx, id)
    })
    await sources.remove(id)
    if (video.job && !video.job.endedAt) {
      // What fails here the reconciler does.
      await this.#tellCancel(video.job.id).catch((error: Error) => log.warn({ err: error, videoId: id }, 'cancel not told yet'))
    }
    return video
  }

  /** Puts a run on the queue; a job of that id that is there already stays. */
  async enqueue(run: OpenRun): Promise<void> {
    const { queue, config, log } = this.#options
    const id = jobId(run.video_id, run.run)
    const added = await queue.add(id, transcodeJob(run, config))
    if (added) log.info({ jobId: id }, 'queued')
  }

  /** As `enqueue`; when the queue is away the row waits for the reconciler. */
  async enqueueSoon(run: OpenRun): Promise<void> {
    await this.enqueue(run).catch((error: Error) => {
      this.#options.log.warn({ err: error, videoId: run.video_id }, 'not queued yet; the reconciler will')
    })
  }

  /** Ends a run without its transcoder's word. */
  async endRun(id: string, number: number, how: 'cancelled' | 'lost'): Promise<Video> {
    const { now, config } = this.#options
    return this.#change(id, async (row, tx) => {
      const open = await findOpenRun(tx, id, number)
      if (!open) return
      await updateRun(tx, id, number, { ended_at: now() })
      await loseAttempts(tx, id, { run: number }, now())
      await this.#askForSweeps(tx, id)
      if (row.run !== number || !isRunning(row.state)) return
      let event: 'cancel' | 'fail' | 'settle-full' | 'settle-short' = how === 'cancelled' ? 'cancel' : 'fail'
      if (row.rev) {
        const full = isFull(this.#originIds(), await listReplicas(tx, id, row.rev), wantedReplicas(config))
        event = full ? 'settle-full' : 'settle-short'
      }
      const state = nextState(row.state, event)
      await updateVideo(tx, id, { ...(state && { state }), error: how === 'lost' ? RESULT_LOST : null }, now())
    })
  }

  async #create(id: string, title: string, source: Source): Promise<Video> {
    const { db, config, sources, now, onChange } = this.#options
    try {
      await insertVideo(db, { id, title, source, preset: presetWith(config.preset), now: now() })
    } catch (error) {
      await sources.remove(id)
      throw error
    }
    const run = await findOpenRun(db, id, 1)
    if (run) await this.enqueueSoon(run)
    onChange(id)
    return this.#load(id)
  }

  #originIds(): string[] {
    return this.#options.config.origins.map((origin) => origin.id)
  }

  #askForSweeps(tx: Transaction<Database>, id: string): Promise<void> {
    return askForSweeps(tx, id, this.#originIds(), this.#options.now())
  }

  async #tellCancel(job: string): Promise<void> {
    const { redis } = this.#options
    await redis.multi().set(cancelKey(job), '1', 'EX', CANCEL_SECONDS).publish(CANCEL_CHANNEL, job).exec()
  }

  async #change(id: string, change: (row: VideoRow, tx: Transaction<Database>) => Promise<void>): Promise<Video> {
    const { db, onChange } = this.#options
    await db.transaction().execute(async (tx) => {
      const row = await lockVideo(tx, id)
      if (!row) throw unknownVideo(id)
      await change(row, tx)
    })
    onChange(id)
    return this.#load(id)
  }

  async #load(id: string): Promise<Video> {
    const record = await findRecord(this.#options.db, id)
    if (!record) throw unknownVideo(id)
    return toVideo(record)
  }
}

const RESULT_LOST: ErrorBody = {
  code: 'result-lost',
  source: 'internal',
  retryable: true,
  message: 'the transcoder finished several times, but its result never arrived in a form that could be read',
}

export function unknownVideo(id: string): MillraceError {
  return new MillraceError(`there is no video ${id}`, { code: 'unknown-video', source: 'client', retryable: false, status: 404 })
}

function lastSegment(pathname: string): string {
  const segment = pathname.split('/').at(-1) ?? ''
  try {
    return withoutControls(decodeURIComponent(segment)).slice(0, 255)
  } catch {
    return withoutControls(segment).slice(0, 255)
  }
}

function withoutControls(text: string): string {
  return text.replace(/\p{Cc}/gu, '').replace(/[/\\]/g, '_')
}

/** `holiday.final.mp4` → `holiday.final` */
function titleOf(name: string): string {
  return (name.replace(/\.[A-Za-z0-9]{1,5}$/, '') || name).slice(0, 200)
}
