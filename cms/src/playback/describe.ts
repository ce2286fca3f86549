import type { Logger } from '@millrace/common/log'
import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { OriginConfig } from '../config.js'
import { findAsset, listReplicas, saveManifests } from '../db/asset-store.js'
import type { AssetRow, Database } from '../db/schema.js'
import type { OriginClient } from '../nodes/origin-client.js'

/** An asset's row that is known to have its manifests. */
export type DescribedAsset = AssetRow & { asset_sha256: string; hls: string; dash: string }

/** Assets with their manifests and hash: from memory, from the row, else once from an origin that holds them. They never change. */
export class AssetDescriber {
  readonly #options: {
    db: Kysely<Database>
    client: OriginClient
    origins: OriginConfig[]
    isHealthy: (originId: string) => boolean
    log: Logger
  }
  readonly #cache = new LRUCache<string, DescribedAsset>({ maxSize: 64 << 20, sizeCalculation: sizeOf })

  constructor(options: {
    db: Kysely<Database>
    client: OriginClient
    origins: OriginConfig[]
    isHealthy: (originId: string) => boolean
    log: Logger
  }) {
    this.#options = options
  }

  /** @returns undefined when the asset is unknown or no holder answers. */
  async describe(videoId: string, rev: string): Promise<DescribedAsset | undefined> {
    const key = `${videoId}/${rev}`
    const cached = this.#cache.get(key)
    if (cached) return cached
    const row = await findAsset(this.#options.db, videoId, rev)
    if (!row) return undefined
    const described = hasManifests(row) ? row : await this.#ask(row)
    if (described) this.#cache.set(key, described)
    return described
  }

  async #ask(row: AssetRow): Promise<DescribedAsset | undefined> {
    const { db, client, origins, isHealthy, log } = this.#options
    const replicas = await listReplicas(db, row.video_id, row.rev)
    const holders = origins.filter((origin) => replicas.some((replica) => replica.origin_id === origin.id && replica.state === 'held'))
    // Those that seem down come last, not never.
    for (const origin of holders.sort((a, b) => Number(isHealthy(b.id)) - Number(isHealthy(a.id)))) {
      try {
        const detail = await client.asset(origin, row.video_id, row.rev)
        const known = { assetSha256: detail.assetSha256, ...detail.manifests }
        await saveManifests(db, row.video_id, row.rev, known)
        return { ...row, asset_sha256: known.assetSha256, hls: known.hls, dash: known.dash }
      } catch (error) {
        log.warn({ err: error, origin: origin.id, videoId: row.video_id, rev: row.rev }, 'manifests not read; asking the next origin')
      }
    }
    return undefined
  }
}

function hasManifests(row: AssetRow): row is DescribedAsset {
  return row.asset_sha256 !== null && row.hls !== null && row.dash !== null
}

function sizeOf(asset: DescribedAsset): number {
  const segments = asset.asset.files.reduce((sum, file) => sum + ('segmentDurations' in file ? file.segmentDurations.length : 0), 0)
  return 4096 + 2 * (asset.hls.length + asset.dash.length) + 16 * segments
}
