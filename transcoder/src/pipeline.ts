import { ASSET_JSON, type Asset } from '@millrace/common/contracts/asset'
import type { ReplicaResult, Stage } from '@millrace/common/contracts/events'
import type { TranscodeJob } from '@millrace/common/contracts/transcode-job'
import type { Logger } from '@millrace/common/log'
import type { Publisher } from './publish/publisher.js'
import type { StageProgress } from './queue/progress-reporter.js'
import { type EncodeTool, encode } from './steps/encode.js'
import { planEncode } from './steps/ffmpeg-args.js'
import { writeAsset } from './steps/manifest.js'
import { type ProbeTool, probe } from './steps/probe.js'
import { type Fetched, fetchSource, type OpenSource } from './steps/source.js'
import { tooLong, verify } from './steps/verify.js'
import { withWorkspace } from './steps/workspace.js'

/** One attempt at one job. */
export interface Attempt {
  job: TranscodeJob
  attempt: number
  rev: string
}

export interface PipelineDeps {
  workspace: string
  openSource: (source: TranscodeJob['source']) => OpenSource
  sourceAttempts: number
  sourceTimeoutMs: number
  probeTool: ProbeTool
  encodeTool: EncodeTool
  threads: number
  publisher: Publisher
  log: Logger
}

/** What the worker hears while the pipeline runs. */
export interface PipelineEvents {
  onStage: (stage: Stage) => Promise<void>
  onProgress: (progress: StageProgress) => void
}

export interface PipelineResult {
  asset: Asset
  replicas: ReplicaResult[]
  source: Fetched
}

/**
 * The data's way through this tier: fetch → probe → encode → verify → publish. On every exit the workspace is gone; on a failed one
 * the revision is off the origins too.
 */
export function runPipeline(deps: PipelineDeps, attempt: Attempt, signal: AbortSignal, events: PipelineEvents): Promise<PipelineResult> {
  const { job, rev } = attempt
  return withWorkspace(deps.workspace, job.videoId, rev, async (workspace) => {
    await events.onStage('fetch')
    const source = await fetchSource({
      open: deps.openSource(job.source),
      path: workspace.source,
      maxBytes: job.limits.maxSourceBytes,
      ...(job.source.kind === 'stored' && { expected: job.source }),
      attempts: deps.sourceAttempts,
      timeoutMs: deps.sourceTimeoutMs,
      signal,
      onProgress: transferProgress('fetch', events.onProgress),
      onRetry: (error, number, delayMs) => deps.log.warn({ err: error, number, delayMs }, 'source broken off; going on'),
    })

    await events.onStage('probe')
    const facts = await probe(deps.probeTool, workspace.folder, 'source', signal)
    const { maxDurationSeconds } = job.limits
    const promised = facts.durationIsGuess ? undefined : facts.duration
    if (promised !== undefined && promised > maxDurationSeconds) throw tooLong(maxDurationSeconds)
    const plan = planEncode(facts, job.preset, { maxSeconds: Math.ceil(maxDurationSeconds) + 1, threads: deps.threads })

    await events.onStage('encode')
    const damage = await encode(deps.encodeTool, plan, workspace.folder, signal, ({ seconds, speed }) => {
      const fraction = facts.duration && Math.min(1, seconds / facts.duration)
      const left = facts.duration && Math.max(0, facts.duration - seconds)
      events.onProgress({
        stage: 'encode',
        ...(fraction !== undefined && { fraction }),
        ...(speed !== undefined && { speed }),
        ...(left !== undefined && speed && { etaSeconds: left / speed }),
      })
    })

    await events.onStage('verify')
    const verified = await verify(
      deps.probeTool,
      plan,
      workspace.out,
      { duration: promised, maxSeconds: maxDurationSeconds, damaged: damage.length > 0 },
      signal,
    )
    const identity = { videoId: job.videoId, rev, attempt: attempt.attempt, createdAt: new Date().toISOString(), preset: job.preset }
    const warnings = [...plan.warnings, ...damage, ...verified.warnings]
    const { asset, assetSha256, bytes } = await writeAsset(workspace.out, identity, plan, verified, warnings)

    await events.onStage('publish')
    const parcel = {
      videoId: job.videoId,
      rev,
      folder: workspace.out,
      files: [...asset.files.map((file) => file.name), ASSET_JSON],
      assetSha256,
    }
    const report = transferProgress('publish', events.onProgress)
    const total = bytes * job.placement.replicas
    const replicas = await deps.publisher.publish(parcel, job.placement, signal, (sent) => report(Math.min(sent, total), total))
    return { asset, replicas, source }
  })
}

/** Fraction, speed and time left of bytes that move. */
function transferProgress(stage: Stage, onProgress: PipelineEvents['onProgress']) {
  const started = Date.now()
  return (bytes: number, totalBytes: number | undefined) => {
    const seconds = (Date.now() - started) / 1000
    const speed = seconds > 0 ? bytes / seconds : 0
    onProgress({
      stage,
      bytes,
      speed,
      ...(totalBytes && { totalBytes, fraction: Math.min(1, bytes / totalBytes) }),
      ...(totalBytes && speed > 0 && { etaSeconds: (totalBytes - bytes) / speed }),
    })
  }
}
