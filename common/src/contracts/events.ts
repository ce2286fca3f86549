import { z } from 'zod'
import { errorBodySchema } from '../errors.js'
import { assetSchema } from './asset.js'
import { nodeIdSchema, revSchema, videoIdSchema } from './ids.js'

/** The stages of a job, in order. Progress, timings and errors name them. */
export const STAGES = ['fetch', 'probe', 'encode', 'verify', 'publish'] as const
export type Stage = (typeof STAGES)[number]

const base = {
  version: z.literal(1),
  videoId: videoIdSchema,
  rev: revSchema,
  attempt: z.number().int().positive(),
  jobId: z.string(),
  transcoderId: nodeIdSchema,
  at: z.iso.datetime(),
}

export const replicaResultSchema = z.discriminatedUnion('state', [
  z.object({ originId: nodeIdSchema, state: z.literal('held') }),
  z.object({ originId: nodeIdSchema, state: z.literal('failed'), error: errorBodySchema }),
])
export type ReplicaResult = z.infer<typeof replicaResultSchema>

/** State changes on the Redis stream: at least once, in order per attempt. */
export const jobEventSchema = z.discriminatedUnion('type', [
  z.object({ ...base, type: z.literal('taken') }),
  z.object({ ...base, type: z.literal('publishing') }),
  z.object({
    ...base,
    type: z.literal('published'),
    asset: assetSchema,
    replicas: z.array(replicaResultSchema).min(1),
    source: z.object({ bytes: z.number().int().nonnegative(), sha256: z.string() }),
    /** Seconds each stage took. */
    timings: z.partialRecord(z.enum(STAGES), z.number().nonnegative()),
  }),
  z.object({
    ...base,
    type: z.literal('failed'),
    stage: z.enum(STAGES),
    error: errorBodySchema,
    /** false: the queue delivers the job again, the CMS only records the attempt. */
    final: z.boolean(),
  }),
  z.object({ ...base, type: z.literal('cancelled') }),
])
export type JobEvent = z.infer<typeof jobEventSchema>

/** Where a running job stands: hash + pub/sub, never the stream. */
export const progressSchema = z.object({
  version: z.literal(1),
  videoId: videoIdSchema,
  rev: revSchema,
  transcoderId: nodeIdSchema,
  stage: z.enum(STAGES),
  /** 0…1 of this stage; absent while it can't be known. */
  fraction: z.number().min(0).max(1).optional(),
  /** For encode: media seconds per second. For fetch and publish: bytes per second. */
  speed: z.number().nonnegative().optional(),
  etaSeconds: z.number().nonnegative().optional(),
  bytes: z.number().nonnegative().optional(),
  totalBytes: z.number().nonnegative().optional(),
  at: z.iso.datetime(),
})
export type Progress = z.infer<typeof progressSchema>

export const heartbeatSchema = z.object({
  version: z.literal(1),
  transcoderId: nodeIdSchema,
  host: z.string(),
  startedAt: z.iso.datetime(),
  at: z.iso.datetime(),
  job: z.object({ jobId: z.string(), videoId: videoIdSchema, rev: revSchema, stage: z.enum(STAGES) }).optional(),
})
export type Heartbeat = z.infer<typeof heartbeatSchema>
