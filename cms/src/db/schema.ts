import type { Asset } from '@millrace/common/contracts/asset'
import type { Replica, Video, VideoState } from '@millrace/common/contracts/cms-api'
import type { Stage } from '@millrace/common/contracts/events'
import type { Preset } from '@millrace/common/contracts/transcode-job'
import type { ErrorBody } from '@millrace/common/errors'
import type { ColumnType, Selectable } from 'kysely'

/** jsonb: read as a value, written as JSON text (both drivers would read a bare array as an SQL array). */
type Json<T> = ColumnType<T, string, string>
type JsonOrNull<T> = ColumnType<T | null, string | null, string | null>
type Time = ColumnType<Date, Date, Date>
type TimeOrNull = ColumnType<Date | null, Date | null, Date | null>

/** Where a video's bytes come from. */
export type Source =
  | { kind: 'stored'; name: string; bytes: number; sha256: string }
  | { kind: 'url'; name: string; url: string; bytes?: number | undefined }

interface VideosTable {
  id: string
  title: string
  state: VideoState
  source: Json<Source>
  /** Number of the newest run. */
  run: number
  /** The highest attempt ever heard of. */
  max_attempt: number
  /** The revision that plays. */
  rev: string | null
  error: JsonOrNull<ErrorBody>
  created_at: Time
  updated_at: Time
}

/** One job of a video: created by the first queueing, and by each retry. */
interface RunsTable {
  video_id: string
  run: number
  preset: Json<Preset>
  /** The newest attempt of this run; 0 before the job was taken. */
  attempt: number
  transcoder_id: string | null
  queued_at: Time
  taken_at: TimeOrNull
  ended_at: TimeOrNull
  cancel_requested_at: TimeOrNull
  /** How often its result was lost and the job put on the queue again. */
  requeues: number
  timings: Json<Partial<Record<Stage, number>>>
}

/** One take of a job: minted by a transcoder. */
interface AttemptsTable {
  video_id: string
  attempt: number
  run: number
  transcoder_id: string
  state: AttemptState
  stage: Stage | null
  error: JsonOrNull<ErrorBody>
  taken_at: Time
  ended_at: TimeOrNull
}
/** lost: a newer attempt was taken while this one had not ended. */
export type AttemptState = 'running' | 'published' | 'failed' | 'cancelled' | 'lost'

/** A published revision. */
interface AssetsTable {
  video_id: string
  rev: string
  attempt: number
  asset: Json<Asset>
  duration: number
  renditions: Json<Video['renditions']>
  warnings: Json<Video['warnings']>
  /** Of asset.json's bytes, and the manifests: learnt from an origin that holds it. */
  asset_sha256: string | null
  hls: string | null
  dash: string | null
  published_at: Time
  /** When another revision became the one that plays. */
  superseded_at: TimeOrNull
}

interface ReplicasTable {
  video_id: string
  rev: string
  origin_id: string
  state: Replica['state']
  error: JsonOrNull<ErrorBody>
  tries: number
  retry_at: Time
}

/** "Look at this origin for revisions of this video that must go": a tombstone until the origin has nothing left to remove. */
interface SweepsTable {
  video_id: string
  origin_id: string
  due_at: Time
  /** Grows with each wish, so that one that comes during a sweep isn't taken for done. */
  asked: number
}

export interface Database {
  videos: VideosTable
  runs: RunsTable
  attempts: AttemptsTable
  assets: AssetsTable
  replicas: ReplicasTable
  sweeps: SweepsTable
}

export type VideoRow = Selectable<VideosTable>
export type RunRow = Selectable<RunsTable>
export type AttemptRow = Selectable<AttemptsTable>
export type AssetRow = Selectable<AssetsTable>
export type ReplicaRow = Selectable<ReplicasTable>
