import { toErrorBody } from '@millrace/common/errors'
import type { Logger } from '@millrace/common/log'
import type { Kysely } from 'kysely'
import type { OriginConfig } from '../config.js'
import { dropOtherReplicas, listReplicas, type ReplicaChange, type ShortVideo, saveReplica, videosToReplicate } from '../db/asset-store.js'
import type { AssetRow, Database } from '../db/schema.js'
import { askForSweeps } from '../db/sweep-store.js'
import { lockVideo, updateVideo } from '../db/video-store.js'
import type { OriginClient } from '../nodes/origin-client.js'
import { nextState } from '../videos/states.js'
import { isFull, planReplicas, pullBackoff } from './plan.js'
import { rank } from './rendezvous.js'

/** Pulls at one time, over all origins. */
const MAX_PULLS = 4

export interface ReplicatorOptions {
  db: Kysely<Database>
  origins: OriginConfig[]
  wantedReplicas: number
  client: OriginClient
  isHealthy: (originId: string) => boolean
  /** The asset's row with its hash and manifests, asked of a holder where they are missing. */
  describe: (videoId: string, rev: string) => Promise<AssetRow | undefined>
  onChange: (videoId: string) => void
  now: () => Date
  log: Logger
}

/** Makes missing replicas: origins that lack a revision pull it from a sibling. Level-triggered: rows are compared at every round. */
export class Replicator {
  readonly #options: ReplicatorOptions
  readonly #pulls = new Map<string, Promise<void>>()
  readonly #stopping = new AbortController()

  constructor(options: ReplicatorOptions) {
    this.#options = options
  }

  get pulls(): number {
    return this.#pulls.size
  }

  async round(): Promise<void> {
    const { db, origins, wantedReplicas } = this.#options
    const ids = origins.map((origin) => origin.id)
    for (let page = await videosToReplicate(db, ids, wantedReplicas); page.length > 0; ) {
      for (const video of page) {
        if (this.#stopping.signal.aborted) return
        await this.#look(video)
      }
      page = await videosToReplicate(db, ids, wantedReplicas, page.at(-1)?.id)
    }
  }

  /** Origins finish their pulls without us; the next start asks again and finds them done. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#pulls.values())
  }

  async #look({ id: videoId, rev, state }: ShortVideo): Promise<void> {
    const { db, origins, wantedReplicas, isHealthy, now, log } = this.#options
    const ranked = rank(videoId, origins)
    const replicas = await listReplicas(db, videoId, rev)
    const plan = planReplicas(
      ranked.map((origin) => origin.id),
      replicas,
      isHealthy,
      wantedReplicas,
      now(),
    )
    for (const id of plan.wanted) {
      if (!replicas.some((replica) => replica.origin_id === id))
        await saveReplica(db, videoId, rev, { originId: id, state: 'wanted' }, now())
    }
    const full = plan.wanted.length === 0
    if (state !== (full ? 'ready' : 'degraded')) await this.#settle(videoId, rev)
    const holders = ranked.filter(
      ({ id }) => isHealthy(id) && replicas.some((replica) => replica.origin_id === id && replica.state === 'held'),
    )
    for (const id of plan.due) {
      const origin = ranked.find((other) => other.id === id)
      const key = `${videoId}/${rev}/${id}`
      if (!origin || this.#pulls.has(key) || this.#pulls.size >= MAX_PULLS) continue
      const tries = replicas.find((replica) => replica.origin_id === id)?.tries ?? 0
      // A holder that answers and yet can't give it is not asked twice in a row.
      const holder = holders[tries % holders.length]
      if (!holder) return
      const pull = this.#pull(videoId, rev, holder, origin, tries)
        .catch((error: Error) => log.error({ err: error, videoId, rev, to: id }, 'end of a pull not recorded; the next round asks again'))
        .finally(() => this.#pulls.delete(key))
      this.#pulls.set(key, pull)
    }
  }

  async #pull(videoId: string, rev: string, holder: OriginConfig, origin: OriginConfig, tries: number): Promise<void> {
    const { client, describe, now, log } = this.#options
    try {
      const asset = await describe(videoId, rev)
      if (!asset?.asset_sha256) return
      const request = { version: 1 as const, from: { id: holder.id, rsyncUrl: holder.rsyncUrl }, assetSha256: asset.asset_sha256 }
      log.info({ videoId, rev, from: holder.id, to: origin.id }, 'pulling a replica')
      await client.pull(origin, videoId, rev, request, this.#stopping.signal)
      await this.#settle(videoId, rev, { originId: origin.id, state: 'held' })
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      log.warn({ err: error, videoId, rev, to: origin.id }, 'replica not made; it will be tried again')
      const retryAt = new Date(now().getTime() + pullBackoff(tries + 1))
      const change = { originId: origin.id, state: 'failed' as const, error: toErrorBody(error), tries: tries + 1, retryAt }
      await this.#settle(videoId, rev, change)
    }
    this.#options.onChange(videoId)
  }

  /**
   * Records what became of a replica and brings the state in line. What came to an origin for a video that is deleted by now, or for a
   * revision that plays no more, is swept: an earlier sweep may not have found it.
   */
  async #settle(videoId: string, rev: string, change?: ReplicaChange): Promise<void> {
    const { db, origins, wantedReplicas, now, onChange } = this.#options
    const ids = origins.map((origin) => origin.id)
    const changed = await db.transaction().execute(async (tx) => {
      const video = await lockVideo(tx, videoId)
      if (!video || video.rev !== rev || video.state === 'deleted') {
        if (video && change) await askForSweeps(tx, videoId, [change.originId], now())
        return false
      }
      if (change) await saveReplica(tx, videoId, rev, change, now())
      const full = isFull(ids, await listReplicas(tx, videoId, rev), wantedReplicas)
      if (full) await dropOtherReplicas(tx, videoId, rev)
      const state = nextState(video.state, full ? 'replicas-full' : 'replicas-short')
      if (!state || state === video.state) return false
      await updateVideo(tx, videoId, { state }, now())
      return true
    })
    if (changed) onChange(videoId)
  }
}
