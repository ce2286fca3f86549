import { z } from 'zod'
import { nodeIdSchema, revSchema, videoIdSchema } from './ids.js'

/**
 * How the edge answered: the `x-cache` header, the log field and the metric label, all from here.
 *
 *   hit          the stored response, fresh
 *   miss         this request led the fill
 *   coalesced    joined a fill that another request leads
 *   revalidated  stored, stale, confirmed by an origin
 *   stale        stored, stale, served under stale-while-revalidate or stale-if-error
 *   bypass       not cacheable: streamed through
 *   negative     a stored 404
 *   refused      answered by the edge itself: bad request, bad route, denied
 *   error        no origin could answer
 */
export const CACHE_PHASES = ['hit', 'miss', 'coalesced', 'revalidated', 'stale', 'bypass', 'negative', 'refused', 'error'] as const
export type CachePhase = (typeof CACHE_PHASES)[number]
export const CACHE_HEADER = 'x-cache'
/** The origin id whose bytes these are; absent on `refused` and `error`. */
export const ORIGIN_HEADER = 'x-origin'

/**
 * Admin listener (never the public one): GET /metrics, /healthz, /readyz, /v1/status, /v1/config, /v1/origins; POST /v1/purge, always with
 * a bearer token. Refusals are problem documents.
 *
 * A purge covers what was stored before it. `block`: the video is deleted, and its URLs answer 410 from now on. `url`: one resource with
 * its variants, as path and query of a request to the edge.
 */
export const purgeRequestSchema = z.discriminatedUnion('scope', [
  z.object({ version: z.literal(1), scope: z.literal('all') }),
  z.object({ version: z.literal(1), scope: z.literal('video'), videoId: videoIdSchema, block: z.boolean().default(false) }),
  z.object({ version: z.literal(1), scope: z.literal('revision'), videoId: videoIdSchema, rev: revSchema }),
  z.object({
    version: z.literal(1),
    scope: z.literal('url'),
    url: z
      .string()
      .max(2048)
      .regex(/^\/[\x21-\x22\x24-\x7e]*$/, 'is not path and query as in a request'),
  }),
])
export type PurgeRequest = z.infer<typeof purgeRequestSchema>

/** Answered when every worker has it. */
export const purgeAnswerSchema = z.object({
  version: z.literal(1),
  /** The purge's number: later ones have higher numbers. */
  generation: z.number().int().positive(),
  workers: z.number().int().nonnegative(),
})
export type PurgeAnswer = z.infer<typeof purgeAnswerSchema>

export const edgeOriginsSchema = z.object({
  version: z.literal(1),
  origins: z.array(z.object({ id: nodeIdSchema, url: z.string(), up: z.boolean() })),
})
export type EdgeOrigins = z.infer<typeof edgeOriginsSchema>

export const edgeStatusSchema = z.object({
  id: z.string(),
  version: z.string(),
  requests: z.partialRecord(z.enum(CACHE_PHASES), z.number().int().nonnegative()),
  bytesSent: z.number().nonnegative(),
  cache: z.object({ objects: z.number().int(), bytes: z.number(), maxBytes: z.number(), evictedBytes: z.number() }),
})
export type EdgeStatus = z.infer<typeof edgeStatusSchema>
