import type { VideoState } from '@millrace/common/contracts/cms-api'
import type { Preset } from '@millrace/common/contracts/transcode-job'
import type { ErrorBody } from '@millrace/common/errors'
import type { Kysely, Transaction } from 'kysely'
import type { VideoRecord } from '../videos/view.js'
import { json } from './json.js'
import type { Database, RunRow, Source, VideoRow } from './schema.js'

export type Db = Kysely<Database> | Transaction<Database>

export interface NewVideo {
  id: string
  title: string
  source: Source
  preset: Preset
  now: Date
}

/** A run that has not ended, with what the queue must know of its video. */
export type OpenRun = RunRow & Pick<VideoRow, 'source' | 'state' | 'max_attempt'>

/** A new video with its first run, queued. */
export async function insertVideo(db: Kysely<Database>, { id, title, source, preset, now }: NewVideo): Promise<void> {
  await db.transaction().execute(async (tx) => {
    await tx
      .insertInto('videos')
      .values({ id, title, state: 'queued', source: json(source), run: 1, max_attempt: 0, created_at: now, updated_at: now })
      .execute()
    await insertRun(tx, id, 1, preset, now)
  })
}

export async function insertRun(db: Db, videoId: string, run: number, preset: Preset, now: Date): Promise<void> {
  await db
    .insertInto('runs')
    .values({ video_id: videoId, run, preset: json(preset), attempt: 0, requeues: 0, queued_at: now, timings: '{}' })
    .execute()
}

export async function findVideo(db: Db, id: string): Promise<VideoRow | undefined> {
  return db.selectFrom('videos').selectAll().where('id', '=', id).executeTakeFirst()
}

/** Locks the row until the transaction ends: two changes of one video happen one after the other. */
export async function lockVideo(tx: Transaction<Database>, id: string): Promise<VideoRow | undefined> {
  return tx.selectFrom('videos').selectAll().where('id', '=', id).forUpdate().executeTakeFirst()
}

export interface VideoChange {
  state?: VideoState
  rev?: string
  run?: number
  max_attempt?: number
  error?: ErrorBody | null
  source?: Source
}

export async function updateVideo(db: Db, id: string, change: VideoChange, now: Date): Promise<void> {
  const { error, source, ...plain } = change
  await db
    .updateTable('videos')
    .set({
      ...plain,
      ...(error !== undefined && { error: error && json(error) }),
      ...(source && { source: json(source) }),
      updated_at: now,
    })
    .where('id', '=', id)
    .execute()
}

export async function findRun(db: Db, videoId: string, run: number): Promise<RunRow | undefined> {
  return db.selectFrom('runs').selectAll().where('video_id', '=', videoId).where('run', '=', run).executeTakeFirst()
}

export type RunChange = Partial<
  Pick<RunRow, 'attempt' | 'transcoder_id' | 'taken_at' | 'ended_at' | 'cancel_requested_at' | 'requeues' | 'timings'>
>

export async function updateRun(db: Db, videoId: string, run: number, change: RunChange): Promise<void> {
  const { timings, ...plain } = change
  await db
    .updateTable('runs')
    .set({ ...plain, ...(timings && { timings: json(timings) }) })
    .where('video_id', '=', videoId)
    .where('run', '=', run)
    .execute()
}

/** Runs that have not ended, whatever became of their video. */
export async function openRuns(db: Db): Promise<OpenRun[]> {
  return db
    .selectFrom('runs')
    .innerJoin('videos', 'videos.id', 'runs.video_id')
    .selectAll('runs')
    .select(['videos.source', 'videos.state', 'videos.max_attempt'])
    .where('runs.ended_at', 'is', null)
    .orderBy('runs.queued_at')
    .execute()
}

export async function findOpenRun(db: Db, videoId: string, run: number): Promise<OpenRun | undefined> {
  return db
    .selectFrom('runs')
    .innerJoin('videos', 'videos.id', 'runs.video_id')
    .selectAll('runs')
    .select(['videos.source', 'videos.state', 'videos.max_attempt'])
    .where('runs.video_id', '=', videoId)
    .where('runs.run', '=', run)
    .where('runs.ended_at', 'is', null)
    .executeTakeFirst()
}

export async function findRecord(db: Db, id: string): Promise<VideoRecord | undefined> {
  const video = await findVideo(db, id)
  return video && (await withRelations(db, [video]))[0]
}

/** Newest first. Without a state, deleted videos are left out. `cursor` is the last id of the page before. */
export async function listRecords(
  db: Db,
  filter: { state?: VideoState | undefined; cursor?: string | undefined; limit: number },
): Promise<{ items: VideoRecord[]; next: string | undefined }> {
  const { state, cursor, limit } = filter
  let query = db
    .selectFrom('videos')
    .selectAll()
    .orderBy('id', 'desc')
    .limit(limit + 1)
  query = state ? query.where('state', '=', state) : query.where('state', '!=', 'deleted')
  if (cursor) query = query.where('id', '<', cursor)
  const videos = await query.execute()
  const page = videos.slice(0, limit)
  return { items: await withRelations(db, page), next: videos.length > limit ? page.at(-1)?.id : undefined }
}

async function withRelations(db: Db, videos: VideoRow[]): Promise<VideoRecord[]> {
  const ids = videos.map((video) => video.id)
  if (ids.length === 0) return []
  const runs = await db
    .selectFrom('runs')
    .innerJoin('videos', (join) => join.onRef('videos.id', '=', 'runs.video_id').onRef('videos.run', '=', 'runs.run'))
    .selectAll('runs')
    .where('video_id', 'in', ids)
    .execute()
  const assets = await db
    .selectFrom('assets')
    .innerJoin('videos', (join) => join.onRef('videos.id', '=', 'assets.video_id').onRef('videos.rev', '=', 'assets.rev'))
    .select(['assets.video_id', 'assets.duration', 'assets.renditions', 'assets.warnings'])
    .where('video_id', 'in', ids)
    .execute()
  const replicas = await db
    .selectFrom('replicas')
    .innerJoin('videos', (join) => join.onRef('videos.id', '=', 'replicas.video_id').onRef('videos.rev', '=', 'replicas.rev'))
    .selectAll('replicas')
    .where('video_id', 'in', ids)
    .orderBy('origin_id')
    .execute()
  return videos.map((video) => ({
    video,
    run: runs.find((run) => run.video_id === video.id),
    asset: assets.find((asset) => asset.video_id === video.id),
    replicas: replicas.filter((replica) => replica.video_id === video.id),
  }))
}

/** Videos per state, for the metrics. */
export async function countByState(db: Db): Promise<{ state: VideoState; videos: number }[]> {
  const rows = await db
    .selectFrom('videos')
    .select(['state', (eb) => eb.fn.countAll<number>().as('videos')])
    .groupBy('state')
    .execute()
  return rows.map((row) => ({ state: row.state, videos: Number(row.videos) }))
}
