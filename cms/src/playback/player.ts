import type { Playback } from '@millrace/common/contracts/playback'
import { MillraceError } from '@millrace/common/errors'
import type { Kysely } from 'kysely'
import type { CmsConfig, EdgeConfig } from '../config.js'
import { findAsset, listReplicas } from '../db/asset-store.js'
import type { Database } from '../db/schema.js'
import { findVideo } from '../db/video-store.js'
import { rank } from '../placement/rendezvous.js'
import { unknownVideo } from '../videos/service.js'
import { type Playable, pathwaysFor, playbackAnswer, type RouteSigner, routeFor } from './answer.js'
import { steerDash } from './dash.js'
import type { AssetDescriber, DescribedAsset } from './describe.js'
import { steerHls } from './hls.js'
import { orderEdges, type SteeringManifest, steeringManifest } from './steering.js'

export interface PlaybackOptions {
  db: Kysely<Database>
  config: CmsConfig
  publicUrl: () => string
  describer: AssetDescriber
  isEdgeHealthy: (id: string) => boolean
  isOriginHealthy: (id: string) => boolean
  now: () => Date
}

/** Answers to players: where to fetch a video from, and its manifests with every edge in them. */
export class PlaybackService {
  readonly #options: PlaybackOptions
  readonly #signer: RouteSigner | undefined

  constructor(options: PlaybackOptions) {
    this.#options = options
    const { keys, sign } = options.config.routes
    const key = sign === undefined ? undefined : keys[sign]
    this.#signer = sign !== undefined && key ? { kid: sign, key: Buffer.from(key.reveal()) } : undefined
  }

  /** @throws MillraceError `unknown-video` (404), `not-playable` (409) */
  async answer(videoId: string): Promise<Playback> {
    const { video, route } = await this.#find(videoId)
    return playbackAnswer(video, route, this.#edges(videoId), this.#options.publicUrl())
  }

  async hls(videoId: string): Promise<string> {
    const { video, route } = await this.#find(videoId)
    const asset = await this.#describe(video)
    return steerHls(asset.hls, pathwaysFor(video, route, this.#edges(videoId)), `/play/${videoId}/steering`)
  }

  async dash(videoId: string): Promise<string> {
    const { video, route } = await this.#find(videoId)
    const asset = await this.#describe(video)
    return steerDash(asset.dash, pathwaysFor(video, route, this.#edges(videoId)), `${this.#options.publicUrl()}/play/${videoId}/steering`)
  }

  async steering(videoId: string): Promise<SteeringManifest> {
    if (!(await findVideo(this.#options.db, videoId))) throw unknownVideo(videoId)
    return steeringManifest(this.#edges(videoId), this.#options.config.playback.steeringTtl)
  }

  #edges(videoId: string): EdgeConfig[] {
    return orderEdges(videoId, this.#options.config.edges, this.#options.isEdgeHealthy)
  }

  async #find(videoId: string): Promise<{ video: Playable; route: string }> {
    const { db, config, isOriginHealthy, now } = this.#options
    const row = await findVideo(db, videoId)
    if (!row) throw unknownVideo(videoId)
    // A re-transcode under way, or one that failed, takes nothing from viewers: what played goes on.
    if (!row.rev || row.state === 'deleted') throw notPlayable(`the video is ${row.state}`)
    const replicas = await listReplicas(db, videoId, row.rev)
    const held = rank(videoId, config.origins)
      .map((origin) => origin.id)
      .filter((id) => replicas.some((replica) => replica.origin_id === id && replica.state === 'held'))
    if (held.length === 0) throw notPlayable('no origin of this fleet holds the video')
    const asset = await findAsset(db, videoId, row.rev)
    if (!asset) throw notPlayable('the revision is unknown')
    const video: Playable = {
      videoId,
      rev: row.rev,
      title: row.title,
      durationSeconds: asset.duration,
      posterName: asset.asset.files.find((file) => file.role === 'poster')?.name,
      // Those that seem down come last, not never: the edge judges for itself.
      holders: [...held.filter((id) => isOriginHealthy(id)), ...held.filter((id) => !isOriginHealthy(id))],
    }
    return { video, route: routeFor(video, this.#signer, Math.floor(now().getTime() / 1000)) }
  }

  async #describe(video: Playable): Promise<DescribedAsset> {
    const asset = await this.#options.describer.describe(video.videoId, video.rev)
    if (asset) return asset
    throw new MillraceError('no origin that holds the video answers', {
      code: 'origins-unreachable',
      source: 'origin',
      retryable: true,
      status: 503,
    })
  }
}

function notPlayable(message: string): MillraceError {
  return new MillraceError(message, { code: 'not-playable', source: 'client', retryable: true, status: 409 })
}
