import { z } from 'zod'
import { nodeIdSchema, videoIdSchema } from './ids.js'

/** A reference to the source, resolved by the transcoder when it takes the job. */
export const sourceRefSchema = z.discriminatedUnion('kind', [
  /** Stored at the CMS: `path` is resolved against the transcoder's `cms.url`; answers ranges. */
  z.object({
    kind: z.literal('stored'),
    path: z.string().regex(/^\/internal\/v1\/sources\/[0-9a-z]{26}$/),
    bytes: z.number().int().positive(),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    name: z.string().max(255),
  }),
  /** Anywhere: fetched through the SSRF guard. */
  z.object({ kind: z.literal('url'), url: z.url({ protocol: /^https?$/ }).max(4096) }),
])
export type SourceRef = z.infer<typeof sourceRefSchema>

/** One origin as a publisher sees it; credentials are the publisher's own configuration. */
export const originTargetSchema = z.object({
  id: nodeIdSchema,
  /** Control API, e.g. `http://10.0.0.1:8081`. */
  controlUrl: z.url({ protocol: /^https?$/ }),
  /** The host and port of its rsync daemon, e.g. `rsync://10.0.0.1:8730`. */
  rsyncUrl: z.url({ protocol: /^rsync$/ }),
})
export type OriginTarget = z.infer<typeof originTargetSchema>

export const placementSchema = z
  .object({
    /** Ranked by rendezvous hashing: the first `replicas` are wanted, the rest stand in for a full or dead one. */
    origins: z.array(originTargetSchema).min(1).max(256),
    replicas: z.number().int().positive(),
    /** Fewer than this and the attempt fails. */
    minReplicas: z.number().int().positive(),
  })
  .refine((placement) => placement.minReplicas <= placement.replicas, 'minReplicas exceeds replicas')
  .refine((placement) => placement.replicas <= placement.origins.length, 'replicas exceeds origins')
export type Placement = z.infer<typeof placementSchema>

/** One rung of the ladder, named by its short side; applied only where the source is at least as large. */
export const rungSchema = z.object({
  /** Short side in pixels: 720 stands for 1280×720 and for 720×1280. */
  size: z.number().int().min(64).max(4320),
  crf: z.number().min(0).max(51),
  maxrateKbps: z.number().int().positive(),
  bufsizeKbps: z.number().int().positive(),
  profile: z.enum(['baseline', 'main', 'high']),
})
export type Rung = z.infer<typeof rungSchema>

/** Encoding settings: named, versioned, and carried whole in the job, so that a job is reproducible. */
export const presetSchema = z.object({
  name: z.string().regex(/^[a-z0-9-]{1,40}$/),
  version: z.number().int().positive(),
  segmentDuration: z.number().int().min(1).max(20),
  maxFrameRate: z.number().positive().max(240),
  x264Preset: z.enum(['ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium', 'slow', 'slower']),
  rungs: z.array(rungSchema).min(1).max(12),
  audio: z.object({ bitrateKbpsPerChannel: z.number().int().positive(), maxChannels: z.number().int().min(1).max(8) }),
})
export type Preset = z.infer<typeof presetSchema>

/** What the CMS puts on the queue (bee-queue job data). Readers accept this version and the one before. */
export const transcodeJobSchema = z.object({
  version: z.literal(1),
  videoId: videoIdSchema,
  /** Grows by one with each job of a video (retry, re-transcode): the job's id is `<videoId>-<run>`. */
  run: z.number().int().positive(),
  source: sourceRefSchema,
  preset: presetSchema,
  placement: placementSchema,
  /** The highest attempt that the database knows: minted numbers are above it even when Redis lost its counter. */
  attemptFloor: z.number().int().nonnegative(),
  /** More takes than this of one job (a job that kills its worker) and it fails. */
  maxAttempts: z.number().int().positive(),
  limits: z.object({ maxSourceBytes: z.number().int().positive(), maxDurationSeconds: z.number().positive() }),
})
export type TranscodeJob = z.infer<typeof transcodeJobSchema>

export function jobId(videoId: string, run: number): string {
  return `${videoId}-${run}`
}
