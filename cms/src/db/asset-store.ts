import { type Asset, sequencesOf } from '@millrace/common/contracts/asset'
import type { Replica } from '@millrace/common/contracts/cms-api'
import type { ErrorBody } from '@millrace/common/errors'
import type { ExpressionBuilder } from 'kysely'
import { renditionsOf } from '../videos/view.js'
import { json } from './json.js'
import type { AssetRow, AttemptRow, AttemptState, Database, ReplicaRow } from './schema.js'
import type { Db } from './video-store.js'

/** Remembers a published revision; a second time changes nothing. */
export async function insertAsset(db: Db, asset: Asset, now: Date): Promise<void> {
  await db
    .insertInto('assets')
    .values({
      video_id: asset.videoId,
      rev: asset.rev,
      attempt: asset.attempt,
      asset: json(asset),
      duration: asset.duration,
      renditions: json(renditionsOf(asset)),
      warnings: json([...asset.warnings, ...(sequencesOf(asset).length === 0 ? [NOTHING_PLAYS] : [])]),
      published_at: now,
    })
    .onConflict((conflict) => conflict.columns(['video_id', 'rev']).doNothing())
    .execute()
}
const NOTHING_PLAYS = { code: 'no-sequences', detail: 'the asset has no video, audio or text track' }

export async function findAsset(db: Db, videoId: string, rev: string): Promise<AssetRow | undefined> {
  return db.selectFrom('assets').selectAll().where('video_id', '=', videoId).where('rev', '=', rev).executeTakeFirst()
}

/** The published revisions of a video, without their contents. */
export async function listRevisions(db: Db, videoId: string): Promise<Pick<AssetRow, 'rev' | 'attempt' | 'superseded_at'>[]> {
  return db.selectFrom('assets').select(['rev', 'attempt', 'superseded_at']).where('video_id', '=', videoId).execute()
}

/** Every revision but this one is superseded from now on. */
export async function supersedeOthers(db: Db, videoId: string, rev: string, now: Date): Promise<void> {
  await db
    .updateTable('assets')
    .set({ superseded_at: now })
    .where('video_id', '=', videoId)
    .where('rev', '!=', rev)
    .where('superseded_at', 'is', null)
    .execute()
}

export async function saveManifests(
  db: Db,
  videoId: string,
  rev: string,
  known: { assetSha256: string; hls: string; dash: string },
): Promise<void> {
  await db
    .updateTable('assets')
    .set({ asset_sha256: known.assetSha256, hls: known.hls, dash: known.dash })
    .where('video_id', '=', videoId)
    .where('rev', '=', rev)
    .execute()
}

export async function deleteRevision(db: Db, videoId: string, rev: string): Promise<void> {
  await db.deleteFrom('assets').where('video_id', '=', videoId).where('rev', '=', rev).execute()
  await db.deleteFrom('replicas').where('video_id', '=', videoId).where('rev', '=', rev).execute()
}

export interface ReplicaChange {
  originId: string
  state: Replica['state']
  error?: ErrorBody | undefined
  /** Tries that failed so far, and when the next is due. */
  tries?: number
  retryAt?: Date
}

export async function saveReplica(db: Db, videoId: string, rev: string, change: ReplicaChange, now: Date): Promise<void> {
  const row = {
    state: change.state,
    error: change.error ? json(change.error) : null,
    tries: change.tries ?? 0,
    retry_at: change.retryAt ?? now,
  }
  await db
    .insertInto('replicas')
    .values({ video_id: videoId, rev, origin_id: change.originId, ...row })
    .onConflict((conflict) => conflict.columns(['video_id', 'rev', 'origin_id']).doUpdateSet(row))
    .execute()
}

/** Once enough origins hold a revision, the rows of those that don't say nothing any more. */
export async function dropOtherReplicas(db: Db, videoId: string, rev: string): Promise<void> {
  await db.deleteFrom('replicas').where('video_id', '=', videoId).where('rev', '=', rev).where('state', '!=', 'held').execute()
}

export async function listReplicas(db: Db, videoId: string, rev: string): Promise<ReplicaRow[]> {
  return db.selectFrom('replicas').selectAll().where('video_id', '=', videoId).where('rev', '=', rev).orderBy('origin_id').execute()
}

/** A playable video that may lack replicas. */
export interface ShortVideo {
  id: string
  rev: string
  state: 'ready' | 'degraded'
}

/** The replicas of a video's playing revision that these origins hold. */
function heldBy(origins: string[]) {
  return (eb: ExpressionBuilder<Database, 'videos' | 'replicas'>) =>
    eb.and([
      eb('replicas.video_id', '=', eb.ref('videos.id')),
      eb('replicas.rev', '=', eb.ref('videos.rev')),
      eb('replicas.state', '=', 'held'),
      eb('replicas.origin_id', 'in', origins),
    ])
}

/** Playable revisions held by fewer of the known origins than wanted, and those that are called degraded without need; by id, a page. */
export async function videosToReplicate(db: Db, origins: string[], wanted: number, after = ''): Promise<ShortVideo[]> {
  const rows = await db
    .selectFrom('videos')
    .leftJoin('replicas', (join) => join.on(heldBy(origins)))
    .select(['videos.id', 'videos.rev', 'videos.state'])
    .where('videos.state', 'in', ['ready', 'degraded'])
    .where('videos.rev', 'is not', null)
    .where('videos.id', '>', after)
    .groupBy(['videos.id', 'videos.rev', 'videos.state'])
    .having((eb) => eb.or([eb('videos.state', '=', 'degraded'), eb(eb.fn.count('replicas.origin_id'), '<', wanted)]))
    .orderBy('videos.id')
    .limit(500)
    .execute()
  return rows as ShortVideo[]
}

/** Replicas that playable videos lack, for the metrics. */
export async function countMissingReplicas(db: Db, origins: string[], wanted: number): Promise<number> {
  const short = db
    .selectFrom('videos')
    .leftJoin('replicas', (join) => join.on(heldBy(origins)))
    .select((eb) => eb.fn.count<number>('replicas.origin_id').as('held'))
    .where('videos.state', '!=', 'deleted')
    .where('videos.rev', 'is not', null)
    .groupBy('videos.id')
    .having((eb) => eb(eb.fn.count('replicas.origin_id'), '<', wanted))
    .as('short')
  const { videos, held } = await db
    .selectFrom(short)
    .select((eb) => [eb.fn.countAll<number>().as('videos'), eb.fn.sum<number>('held').as('held')])
    .executeTakeFirstOrThrow()
  return Number(videos) * wanted - Number(held)
}

/** Records what became of an attempt; also of one whose `taken` was never heard of. An attempt that ended stays as it ended. */
export async function saveAttempt(
  db: Db,
  attempt: Pick<AttemptRow, 'video_id' | 'attempt' | 'run' | 'transcoder_id'> & {
    state: AttemptState
    stage?: AttemptRow['stage']
    error?: ErrorBody
    at: Date
  },
): Promise<void> {
  const { at, state, stage = null, error, ...key } = attempt
  const outcome = { state, stage, error: error ? json(error) : null, ended_at: state === 'running' ? null : at }
  await db
    .insertInto('attempts')
    .values({ ...key, ...outcome, taken_at: at })
    .onConflict((conflict) => conflict.columns(['video_id', 'attempt']).doUpdateSet(outcome).where('attempts.ended_at', 'is', null))
    .execute()
}

/** Attempts below `attempt` that never ended are dead: a newer one was taken. With `run`, that run's only. */
export async function loseAttempts(db: Db, videoId: string, filter: { below?: number; run?: number }, now: Date): Promise<void> {
  let query = db.updateTable('attempts').set({ state: 'lost', ended_at: now }).where('video_id', '=', videoId).where('ended_at', 'is', null)
  if (filter.below !== undefined) query = query.where('attempt', '<', filter.below)
  if (filter.run !== undefined) query = query.where('run', '=', filter.run)
  await query.execute()
}

export async function findAttempt(db: Db, videoId: string, attempt: number): Promise<AttemptRow | undefined> {
  return db.selectFrom('attempts').selectAll().where('video_id', '=', videoId).where('attempt', '=', attempt).executeTakeFirst()
}

export async function listAttempts(db: Db, videoId: string): Promise<AttemptRow[]> {
  return db.selectFrom('attempts').selectAll().where('video_id', '=', videoId).orderBy('attempt').execute()
}
