import { z } from 'zod'
import { nodeIdSchema, revSchema, videoIdSchema } from './ids.js'

/** `GET /api/v1/videos/:id/playback`: everything a player page needs. */
export const playbackSchema = z.object({
  version: z.literal(1),
  videoId: videoIdSchema,
  rev: revSchema,
  title: z.string(),
  durationSeconds: z.number(),
  /** The route every URL below carries. */
  route: z.string(),
  /** Multivariant playlist and MPD with every healthy edge as a pathway, steered by the CMS. */
  steered: z.object({ hls: z.string(), dash: z.string() }),
  /** Healthy edges, best first. Any one of them is enough. */
  edges: z.array(z.object({ id: nodeIdSchema, hls: z.string(), dash: z.string(), poster: z.string().optional() })),
})
export type Playback = z.infer<typeof playbackSchema>
