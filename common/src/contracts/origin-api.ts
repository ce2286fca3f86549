import { z } from 'zod'
import { errorBodySchema } from '../errors.js'
import { assetSchema } from './asset.js'
import { nodeIdSchema, revSchema, videoIdSchema } from './ids.js'

/**
 * The origin's control API (private network, `Authorization: Bearer <token>`):
 *
 *   POST   /v1/assets/:videoId/:rev/commit   CommitRequest → 202 Operation   staging → verified, visible asset
 *   POST   /v1/assets/:videoId/:rev/pull     PullRequest   → 202 Operation   a replica from a sibling origin
 *   GET    /v1/operations/:id                              → 200 Operation
 *   GET    /v1/assets?cursor=&limit=                       → 200 AssetPage
 *   GET    /v1/videos/:videoId                             → 200 VideoHoldings   committed and staged revisions of one video
 *   GET    /v1/assets/:videoId/:rev                        → 200 AssetDetail
 *   DELETE /v1/assets/:videoId/:rev                        → 204, also when nothing is there; takes staging along
 *   GET    /v1/status                                      → 200 OriginStatus
 *
 * rsync modules: `staging` (write-only, transcoders: `staging/<videoId>/<rev>/`), `assets` (read-only, sibling origins).
 */
const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/)

export const commitRequestSchema = z.object({
  version: z.literal(1),
  /** Of the staged `asset.json`, which names every other file with its sha256: binds the whole asset. */
  assetSha256: sha256Schema,
})
export type CommitRequest = z.infer<typeof commitRequestSchema>

export const pullRequestSchema = z.object({
  version: z.literal(1),
  from: z.object({ id: nodeIdSchema, rsyncUrl: z.url({ protocol: /^rsync$/ }) }),
  assetSha256: sha256Schema,
})
export type PullRequest = z.infer<typeof pullRequestSchema>

export const operationSchema = z.object({
  id: z.string(),
  kind: z.enum(['commit', 'pull']),
  videoId: videoIdSchema,
  rev: revSchema,
  state: z.enum(['running', 'done', 'failed']),
  bytesDone: z.number().int().nonnegative(),
  bytesTotal: z.number().int().nonnegative(),
  error: errorBodySchema.optional(),
})
export type Operation = z.infer<typeof operationSchema>

export const heldAssetSchema = z.object({
  videoId: videoIdSchema,
  rev: revSchema,
  bytes: z.number().int().nonnegative(),
  committedAt: z.iso.datetime(),
  assetSha256: sha256Schema,
  /** false: on disk but not served (quarantined). */
  live: z.boolean(),
})
export type HeldAsset = z.infer<typeof heldAssetSchema>

export const assetPageSchema = z.object({ items: z.array(heldAssetSchema), next: z.string().optional() })
export type AssetPage = z.infer<typeof assetPageSchema>

export const videoHoldingsSchema = z.object({ videoId: videoIdSchema, assets: z.array(heldAssetSchema), staged: z.array(revSchema) })
export type VideoHoldings = z.infer<typeof videoHoldingsSchema>

export const assetDetailSchema = heldAssetSchema.extend({
  asset: assetSchema,
  /** The manifests as this origin serves them; the CMS adds pathways and steering to the same text. */
  manifests: z.object({ hls: z.string(), dash: z.string() }),
})
export type AssetDetail = z.infer<typeof assetDetailSchema>

export const originStatusSchema = z.object({
  id: nodeIdSchema,
  version: z.string(),
  packager: z.enum(['embedded', 'nginx-vod']),
  assets: z.number().int().nonnegative(),
  staged: z.number().int().nonnegative(),
  disk: z.object({ totalBytes: z.number().nonnegative(), freeBytes: z.number().nonnegative() }),
  draining: z.boolean(),
})
export type OriginStatus = z.infer<typeof originStatusSchema>
