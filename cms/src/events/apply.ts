import type { JobEvent } from '@millrace/common/contracts/events'
import { jobId } from '@millrace/common/contracts/transcode-job'
import type { Kysely, Transaction } from 'kysely'
import {
  dropOtherReplicas,
  findAttempt,
  insertAsset,
  listReplicas,
  listRevisions,
  loseAttempts,
  saveAttempt,
  saveReplica,
  supersedeOthers,
} from '../db/asset-store.js'
import type { Database, RunRow, VideoRow } from '../db/schema.js'
import { askForSweeps } from '../db/sweep-store.js'
import { findRun, lockVideo, updateRun, updateVideo, type VideoChange } from '../db/video-store.js'
import { isFull } from '../placement/plan.js'
import { nextState, type VideoEvent } from '../videos/states.js'

export interface ApplyContext {
  now: Date
  /** Every origin of the fleet. */
  origins: string[]
  wantedReplicas: number
}

/** applied: something changed. stale: of a dead attempt or a repetition, noted at most. unknown: of no video here. */
export type Applied = 'applied' | 'stale' | 'unknown'

/**
 * Takes one event into the database, in one transaction; any number of times, in any order.
 *
 * Attempts are fenced: once a newer attempt is known, an older one is dead. Whatever it says is only noted, and its files are swept.
 */
export function applyEvent(db: Kysely<Database>, event: JobEvent, context: ApplyContext): Promise<Applied> {
  return db.transaction().execute(async (tx) => {
    const video = await lockVideo(tx, event.videoId)
    if (!video) return 'unknown'
    const number = runOf(event)
    const run = number === undefined ? undefined : await findRun(tx, video.id, number)
    if (!run) return 'unknown'
    return new Application(tx, event, context, video, run).apply()
  })
}

/** The run in an event's job id. */
function runOf(event: JobEvent): number | undefined {
  const run = Number(event.jobId.slice(event.videoId.length + 1))
  return Number.isSafeInteger(run) && event.jobId === jobId(event.videoId, run) ? run : undefined
}

class Application {
  constructor(
    private readonly tx: Transaction<Database>,
    private readonly event: JobEvent,
    private readonly context: ApplyContext,
    private readonly video: VideoRow,
    private readonly run: RunRow,
  ) {}

  async apply(): Promise<Applied> {
    const { event, tx, video } = this
    await this.noteAttempt()
    if (event.attempt < video.max_attempt) {
      await this.sweep()
      return 'stale'
    }
    if (event.attempt > video.max_attempt) {
      await updateVideo(tx, video.id, { max_attempt: event.attempt }, this.context.now)
      await loseAttempts(tx, video.id, { below: event.attempt }, this.context.now)
      await this.sweep()
    }
    if (event.type === 'published') return this.published(event)
    // A run that ended stays ended, and a newer run is what counts.
    if (this.run.ended_at || this.run.run !== video.run || video.state === 'deleted') return this.afterwards()
    switch (event.type) {
      case 'taken':
        return this.taken()
      case 'publishing':
        return (await this.move('publish')) ? 'applied' : 'stale'
      case 'failed':
        return this.failed(event)
      case 'cancelled':
        return this.ended('cancel', { error: null })
    }
  }

  private async noteAttempt(): Promise<void> {
    const { event, tx } = this
    const key = {
      video_id: event.videoId,
      attempt: event.attempt,
      run: this.run.run,
      transcoder_id: event.transcoderId,
      at: this.context.now,
    }
    if (event.type === 'failed') await saveAttempt(tx, { ...key, state: 'failed', stage: event.stage, error: event.error })
    else if (event.type === 'published' || event.type === 'cancelled') await saveAttempt(tx, { ...key, state: event.type })
    else await saveAttempt(tx, { ...key, state: event.attempt < this.video.max_attempt ? 'lost' : 'running' })
  }

  private async taken(): Promise<Applied> {
    const { event, run } = this
    if (run.attempt >= event.attempt) return 'stale'
    await updateRun(this.tx, this.video.id, run.run, {
      attempt: event.attempt,
      transcoder_id: event.transcoderId,
      taken_at: new Date(event.at),
    })
    return (await this.move('take')) ? 'applied' : 'stale'
  }

  private async failed(event: JobEvent & { type: 'failed' }): Promise<Applied> {
    await this.sweep()
    if (event.final) return this.ended('fail', { error: event.error })
    return (await this.move('release', { error: event.error })) ? 'applied' : 'stale'
  }

  /** The run is over without a new revision: what plays goes on playing. */
  private async ended(event: 'fail' | 'cancel', change: VideoChange): Promise<Applied> {
    await this.endRun()
    await this.sweep()
    const settled = this.video.rev ? await this.settled(this.video.rev) : event
    return (await this.move(settled, change)) ? 'applied' : 'stale'
  }

  private async published(event: JobEvent & { type: 'published' }): Promise<Applied> {
    const { tx, video, context } = this
    // What was given up before is nobody's: its files may be swept already.
    if ((await findAttempt(tx, video.id, event.attempt))?.state !== 'published') {
      await this.sweep()
      return 'stale'
    }
    const known = await listRevisions(tx, video.id)
    await this.endRun(event)
    if (video.state === 'deleted' || known.some((asset) => asset.attempt >= event.attempt)) {
      await this.sweep()
      return 'stale'
    }
    await insertAsset(tx, event.asset, context.now)
    for (const replica of event.replicas) await saveReplica(tx, video.id, event.rev, replica, context.now)
    await supersedeOthers(tx, video.id, event.rev, context.now)
    await this.sweep()
    const source = video.source.kind === 'url' ? { ...video.source, bytes: event.source.bytes } : video.source
    // While a newer run is under way the state is that run's; this revision plays meanwhile.
    const settled = await this.settled(event.rev)
    if (settled === 'settle-full') await dropOtherReplicas(tx, video.id, event.rev)
    const state = this.run.run === video.run ? nextState(video.state, settled) : undefined
    await updateVideo(tx, video.id, { ...(state && { state }), rev: event.rev, source, error: null }, context.now)
    return 'applied'
  }

  private async settled(rev: string): Promise<'settle-full' | 'settle-short'> {
    const replicas = await listReplicas(this.tx, this.video.id, rev)
    return isFull(this.context.origins, replicas, this.context.wantedReplicas) ? 'settle-full' : 'settle-short'
  }

  /** After the end of its run an attempt can only leave things behind. */
  private async afterwards(): Promise<Applied> {
    if (this.event.type === 'failed' || this.event.type === 'cancelled') {
      await this.endRun()
      await this.sweep()
    }
    return 'stale'
  }

  private async endRun(event?: JobEvent & { type: 'published' }): Promise<void> {
    if (this.run.ended_at) return
    const { event: cause, run } = this
    if (cause.type === 'failed' && !cause.final) return
    await updateRun(this.tx, this.video.id, run.run, {
      ended_at: this.context.now,
      attempt: cause.attempt,
      transcoder_id: cause.transcoderId,
      taken_at: run.taken_at ?? new Date(cause.at),
      ...(event && { timings: event.timings }),
    })
  }

  private async move(event: VideoEvent, change: VideoChange = {}): Promise<boolean> {
    const state = nextState(this.video.state, event)
    if (!state) return false
    await updateVideo(this.tx, this.video.id, { ...change, state }, this.context.now)
    return true
  }

  private sweep(): Promise<void> {
    return askForSweeps(this.tx, this.video.id, this.context.origins, this.context.now)
  }
}
