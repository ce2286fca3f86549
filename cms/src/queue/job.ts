import type { SourceRef, TranscodeJob } from '@millrace/common/contracts/transcode-job'
import { type CmsConfig, wantedReplicas } from '../config.js'
import type { Source } from '../db/schema.js'
import type { OpenRun } from '../db/video-store.js'
import { rank } from '../placement/rendezvous.js'

/** A run as the transcoder reads it: source, settings and placement, all in the job. */
export function transcodeJob(run: OpenRun, config: CmsConfig): TranscodeJob {
  return {
    version: 1,
    videoId: run.video_id,
    run: run.run,
    source: sourceRef(run.video_id, run.source),
    preset: run.preset,
    placement: {
      origins: rank(run.video_id, config.origins).map(({ id, controlUrl, rsyncUrl }) => ({ id, controlUrl, rsyncUrl })),
      replicas: wantedReplicas(config),
      minReplicas: config.placement.minReplicas,
    },
    attemptFloor: run.max_attempt,
    maxAttempts: config.jobs.maxAttempts,
    limits: { maxSourceBytes: config.sources.maxBytes, maxDurationSeconds: config.jobs.maxDuration / 1000 },
  }
}

export function sourcePath(videoId: string): string {
  return `/internal/v1/sources/${videoId}`
}

function sourceRef(videoId: string, source: Source): SourceRef {
  if (source.kind === 'url') return { kind: 'url', url: source.url }
  return { kind: 'stored', path: sourcePath(videoId), bytes: source.bytes, sha256: source.sha256, name: source.name }
}
