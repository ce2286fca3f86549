import type { Heartbeat, JobEvent, Stage } from '@millrace/common/contracts/events'
import { revOf } from '@millrace/common/contracts/ids'
import { type TranscodeJob, transcodeJobSchema } from '@millrace/common/contracts/transcode-job'
import { type ErrorBody, MillraceError, toErrorBody } from '@millrace/common/errors'
import type { Logger } from '@millrace/common/log'
import type { Metrics, Outcome } from './metrics.js'
import { type PipelineDeps, type PipelineResult, runPipeline } from './pipeline.js'
import type { Delivery } from './queue/bee.js'
import type { CancelWatch } from './queue/cancel.js'
import type { Ledger } from './queue/ledger.js'
import type { ProgressReporter } from './queue/progress-reporter.js'

export interface WorkerDeps {
  transcoderId: string
  ledger: Ledger
  cancels: CancelWatch
  progress: (job: { videoId: string; rev: string }) => ProgressReporter
  pipeline: PipelineDeps
  metrics: Metrics
  log: Logger
  backoff: { firstMs: number; maxMs: number }
}

export interface Worker {
  /** One delivery of a job. Never throws for what is wrong with the job: that is an event. */
  handle: (delivery: { id: string; data: unknown }) => Promise<Delivery>
  current: () => Heartbeat['job']
  /** Aborts the running job when it was cancelled and the message got lost. */
  checkCancelled: () => Promise<void>
  /** Gives the running job back to the queue. */
  stop: () => void
}

const DONE: Delivery = { again: false }
const JOB_ID = /^([0-9a-z]{26})-[1-9][0-9]*$/

type Running = { jobId: string; videoId: string; rev: string; stage: Stage; abort: AbortController }
type EventBase = Pick<JobEvent, 'version' | 'videoId' | 'rev' | 'attempt' | 'jobId' | 'transcoderId'>

export function createWorker(deps: WorkerDeps): Worker {
  const { ledger, metrics, log } = deps
  let running: Running | undefined
  let stopped = false

  const handle = async (delivery: { id: string; data: unknown }): Promise<Delivery> => {
    const videoId = JOB_ID.exec(delivery.id)?.[1]
    if (!videoId) {
      log.error({ jobId: delivery.id }, 'a job without a video’s id can’t be reported to anybody; dropped')
      metrics.jobEnded('failed')
      return DONE
    }
    const parsed = transcodeJobSchema.safeParse(delivery.data)
    const take = await ledger.take(delivery.id, videoId, parsed.data?.attemptFloor ?? 0)
    if (take.state === 'finished') return ended('duplicate')
    const base: EventBase = {
      version: 1,
      videoId,
      rev: revOf(take.attempt),
      attempt: take.attempt,
      jobId: delivery.id,
      transcoderId: deps.transcoderId,
    }
    if (take.state === 'cancelled') return finish(base, { type: 'cancelled' }, 'cancelled')
    if (!parsed.success || parsed.data.videoId !== videoId)
      return finish(base, { type: 'failed', stage: 'fetch', error: badJob(parsed.error?.issues[0]), final: true }, 'failed')
    if (take.takes > parsed.data.maxAttempts)
      return finish(base, { type: 'failed', stage: 'fetch', error: exhausted(parsed.data), final: true }, 'failed')
    return attempt(base, parsed.data, take.takes)
  }

  const attempt = async (base: EventBase, job: TranscodeJob, takes: number): Promise<Delivery> => {
    const abort = new AbortController()
    running = { jobId: base.jobId, videoId: base.videoId, rev: base.rev, stage: 'fetch', abort }
    const unwatch = deps.cancels.watch(base.jobId, () => abort.abort(cancelled()))
    const progress = deps.progress(base)
    metrics.jobRunning(true)
    log.info({ jobId: base.jobId, rev: base.rev, takes }, 'taken')
    try {
      if (stopped) abort.abort(stopping())
      await ledger.announce({ ...base, at: now(), type: 'taken' })
      const { result, timings } = await timedPipeline(base, job, abort.signal, progress)
      const replicas = result.replicas
      await progress.clear()
      const delivery = await finish(base, { type: 'published', asset: result.asset, replicas, source: result.source, timings }, 'published')
      if (delivery.lost) await deps.pipeline.publisher.withdraw(heldOrigins(job, result), base.videoId, base.rev)
      return delivery
    } catch (error) {
      await progress.clear()
      return await fail(base, job, takes, abort.signal.aborted ? abort.signal.reason : error)
    } finally {
      unwatch()
      running = undefined
      metrics.jobRunning(false)
    }
  }

  const timedPipeline = async (base: EventBase, job: TranscodeJob, signal: AbortSignal, progress: ProgressReporter) => {
    const timings: Partial<Record<Stage, number>> = {}
    let entered: { stage: Stage; at: number } | undefined
    const leave = () => {
      if (!entered) return
      const seconds = (performance.now() - entered.at) / 1000
      timings[entered.stage] = seconds
      metrics.stageDone(entered.stage, seconds)
    }
    const result = await runPipeline(deps.pipeline, { job, attempt: base.attempt, rev: base.rev }, signal, {
      async onStage(stage) {
        leave()
        entered = { stage, at: performance.now() }
        if (running) running.stage = stage
        progress.report({ stage })
        if (stage === 'publish') await ledger.announce({ ...base, at: now(), type: 'publishing' })
      },
      onProgress: (report) => progress.report(report),
    })
    leave()
    metrics.fetched(result.source.bytes)
    return { result, timings }
  }

  const fail = async (base: EventBase, job: TranscodeJob, takes: number, failure: unknown): Promise<Delivery> => {
    const error = toErrorBody(failure)
    const stage = running?.stage ?? 'fetch'
    if (error.code === 'cancelled') return finish(base, { type: 'cancelled' }, 'cancelled')
    log.warn({ err: failure, jobId: base.jobId, rev: base.rev, stage }, 'attempt failed')
    const handBack = error.code === 'transcoder-stopping'
    if (handBack || (error.retryable && takes < job.maxAttempts)) {
      if (handBack) await ledger.untake(base.jobId)
      await ledger.announce({ ...base, at: now(), type: 'failed', stage, error, final: false })
      metrics.jobEnded(handBack ? 'handed-back' : 'retried')
      const delayMs = handBack ? 0 : Math.min(deps.backoff.maxMs, deps.backoff.firstMs * 2 ** (takes - 1))
      return { again: true, delayMs, because: `${error.code}: ${error.message}` }
    }
    return finish(base, { type: 'failed', stage, error, final: true }, 'failed')
  }

  /** The end of a job. `lost`: another attempt ended it before, and this one counts for nothing. */
  const finish = async (base: EventBase, end: DistributiveOmit<JobEvent, keyof EventBase | 'at'>, outcome: Outcome) => {
    const first = await ledger.finish({ ...base, at: now(), ...end } as JobEvent)
    log.info({ jobId: base.jobId, rev: base.rev, outcome, first }, 'job ended')
    return { ...ended(first ? outcome : 'duplicate'), lost: !first }
  }

  const ended = (outcome: Outcome): Delivery => {
    metrics.jobEnded(outcome)
    return DONE
  }

  return {
    handle,
    current: () => running && { jobId: running.jobId, videoId: running.videoId, rev: running.rev, stage: running.stage },
    async checkCancelled() {
      const job = running
      if (job && (await ledger.isCancelled(job.jobId))) job.abort.abort(cancelled())
    },
    stop() {
      stopped = true
      running?.abort.abort(stopping())
    },
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

const now = () => new Date().toISOString()

function heldOrigins(job: TranscodeJob, result: PipelineResult) {
  const held = new Set(result.replicas.flatMap((replica) => (replica.state === 'held' ? [replica.originId] : [])))
  return job.placement.origins.filter((origin) => held.has(origin.id))
}

function badJob(issue: { path: PropertyKey[]; message: string } | undefined): ErrorBody {
  const problem = issue ? `${issue.path.join('.')}: ${issue.message}` : 'its video is not the one of its id'
  return { code: 'bad-job', source: 'internal', retryable: false, message: `the job is outside its contract: ${problem}` }
}

function exhausted(job: TranscodeJob): ErrorBody {
  return {
    code: 'attempts-exhausted',
    source: 'internal',
    retryable: false,
    message: `the job was taken ${job.maxAttempts} times and never ended: it may kill its worker`,
  }
}

function cancelled(): MillraceError {
  return new MillraceError('the job was cancelled', { code: 'cancelled', source: 'client', retryable: false })
}

function stopping(): MillraceError {
  return new MillraceError('the transcoder is stopping; the job goes back to the queue', {
    code: 'transcoder-stopping',
    source: 'internal',
    retryable: true,
  })
}
