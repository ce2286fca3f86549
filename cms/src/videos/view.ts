import { type Asset, sequencesOf } from '@millrace/common/contracts/asset'
import type { Video } from '@millrace/common/contracts/cms-api'
import type { Progress } from '@millrace/common/contracts/events'
import { jobId } from '@millrace/common/contracts/transcode-job'
import type { AssetRow, ReplicaRow, RunRow, VideoRow } from '../db/schema.js'
import { isRunning } from './states.js'

/** Everything the API shows of a video, as the database has it. */
export interface VideoRecord {
  video: VideoRow
  run: RunRow | undefined
  /** The revision that plays. */
  asset: Pick<AssetRow, 'duration' | 'renditions' | 'warnings'> | undefined
  replicas: ReplicaRow[]
}

/** Rows as the API's Video. */
export function toVideo({ video, run, asset, replicas }: VideoRecord, progress?: Progress): Video {
  const { kind, name, bytes } = video.source
  return {
    id: video.id,
    title: video.title,
    state: video.state,
    source: { kind, name, ...(bytes !== undefined && { bytes }) },
    ...(video.rev && { rev: video.rev }),
    ...(asset && { durationSeconds: asset.duration }),
    renditions: asset?.renditions ?? [],
    replicas: replicas.map((replica) => ({
      originId: replica.origin_id,
      rev: replica.rev,
      state: replica.state,
      ...(replica.error && { error: replica.error }),
    })),
    warnings: asset?.warnings ?? [],
    ...(video.error && { error: video.error }),
    ...(run && {
      job: {
        id: jobId(video.id, run.run),
        run: run.run,
        attempt: run.attempt,
        ...(run.transcoder_id && { transcoderId: run.transcoder_id }),
        queuedAt: run.queued_at.toISOString(),
        ...(run.taken_at && { takenAt: run.taken_at.toISOString() }),
        ...(run.ended_at && { endedAt: run.ended_at.toISOString() }),
        timings: run.timings,
      },
    }),
    ...(progress && isRunning(video.state) && { progress }),
    createdAt: video.created_at.toISOString(),
    updatedAt: video.updated_at.toISOString(),
  }
}

/** What the API tells of an asset's files, without the lists of segments. */
export function renditionsOf(asset: Asset): Video['renditions'] {
  const sequences = sequencesOf(asset).map((file) => ({
    name: file.name,
    role: file.role,
    codecs: file.codecs,
    ...(file.role === 'video' ? { width: file.width, height: file.height } : { language: file.language }),
    bytes: file.bytes,
  }))
  const images = asset.files.flatMap((file) =>
    file.role === 'poster' || file.role === 'storyboard' ? [{ name: file.name, role: file.role, bytes: file.bytes }] : [],
  )
  return [...sequences, ...images]
}
