import { z } from 'zod'
import { errorBodySchema } from '../errors.js'
import { progressSchema, STAGES } from './events.js'
import { nodeIdSchema, revSchema, videoIdSchema } from './ids.js'

/**
 * The CMS's public API:
 *
 *   POST   /api/v1/videos                    application/json CreateVideo → 201 Video
 *   POST   /api/v1/videos?filename=&title=   application/octet-stream, the file itself → 201 Video
 *   GET    /api/v1/videos?state=&cursor=&limit=   → 200 VideoPage, newest first
 *   GET    /api/v1/videos/:id                → 200 Video
 *   POST   /api/v1/videos/:id/retry          → 202 Video   failed, cancelled, ready and degraded videos: a new run
 *   POST   /api/v1/videos/:id/cancel         → 202 Video
 *   DELETE /api/v1/videos/:id                → 202 Video   (state deleted)
 *   GET    /api/v1/videos/:id/playback       → 200 Playback (contracts/playback)
 *   GET    /api/v1/events                    → text/event-stream: `video` (Video) and `progress` (Progress)
 *   GET    /api/v1/nodes                     → 200 NodeList
 *   GET    /play/:id/main.m3u8, /play/:id/main.mpd, /play/:id/steering   steered manifests for players
 *
 * Internal, with the transcoders' bearer token: GET /internal/v1/sources/:id (ranges).
 */
export const VIDEO_STATES = [
  'created',
  'queued',
  'transcoding',
  'publishing',
  'ready',
  'degraded',
  'failed',
  'cancelled',
  'deleted',
] as const
export type VideoState = (typeof VIDEO_STATES)[number]

export const replicaSchema = z.object({
  originId: nodeIdSchema,
  rev: revSchema,
  /** wanted: not there yet; held: verified there; failed: the last try failed, another follows. */
  state: z.enum(['wanted', 'held', 'failed']),
  error: errorBodySchema.optional(),
})
export type Replica = z.infer<typeof replicaSchema>

export const videoSchema = z.object({
  id: videoIdSchema,
  title: z.string(),
  state: z.enum(VIDEO_STATES),
  source: z.object({ kind: z.enum(['stored', 'url']), name: z.string(), bytes: z.number().optional() }),
  /** The revision that plays; absent until the first one is ready. */
  rev: revSchema.optional(),
  durationSeconds: z.number().optional(),
  renditions: z.array(
    z.object({
      name: z.string(),
      role: z.string(),
      codecs: z.string().optional(),
      width: z.number().optional(),
      height: z.number().optional(),
      language: z.string().optional(),
      bytes: z.number(),
    }),
  ),
  replicas: z.array(replicaSchema),
  warnings: z.array(z.object({ code: z.string(), detail: z.string() })),
  /** Why it failed, or why the last attempt did. */
  error: errorBodySchema.optional(),
  /** The newest run; absent before the first is queued. */
  job: z
    .object({
      id: z.string(),
      run: z.number().int(),
      attempt: z.number().int(),
      transcoderId: nodeIdSchema.optional(),
      queuedAt: z.iso.datetime(),
      takenAt: z.iso.datetime().optional(),
      endedAt: z.iso.datetime().optional(),
      timings: z.partialRecord(z.enum(STAGES), z.number()),
    })
    .optional(),
  /** Of the running job. */
  progress: progressSchema.optional(),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
})
export type Video = z.infer<typeof videoSchema>

export const videoPageSchema = z.object({ items: z.array(videoSchema), next: z.string().optional() })
export type VideoPage = z.infer<typeof videoPageSchema>

export const createVideoSchema = z.object({
  url: z.url({ protocol: /^https?$/ }).max(4096),
  title: z.string().trim().min(1).max(200).optional(),
})
export type CreateVideo = z.infer<typeof createVideoSchema>

export const nodeListSchema = z.object({
  origins: z.array(z.object({ id: nodeIdSchema, healthy: z.boolean(), detail: z.string().optional() })),
  edges: z.array(z.object({ id: nodeIdSchema, url: z.string(), healthy: z.boolean(), detail: z.string().optional() })),
  transcoders: z.array(z.object({ id: nodeIdSchema, at: z.iso.datetime() })),
})
export type NodeList = z.infer<typeof nodeListSchema>
