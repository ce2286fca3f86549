import { z } from 'zod'
import { revSchema, videoIdSchema } from './ids.js'

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

/** Admin listener (never the public one): GET /metrics, /healthz, /readyz, /v1/status; POST /v1/purge with a bearer token. */
export const purgeRequestSchema = z.discriminatedUnion('scope', [
  z.object({ version: z.literal(1), scope: z.literal('all') }),
  z.object({ version: z.literal(1), scope: z.literal('video'), videoId: videoIdSchema, block: z.boolean().default(false) }),
  z.object({ version: z.literal(1), scope: z.literal('revision'), videoId: videoIdSchema, rev: revSchema }),
])
export type PurgeRequest = z.infer<typeof purgeRequestSchema>

export const edgeStatusSchema = z.object({
  id: z.string(),
  version: z.string(),
  requests: z.partialRecord(z.enum(CACHE_PHASES), z.number().int().nonnegative()),
  bytesSent: z.number().nonnegative(),
  cache: z.object({ objects: z.number().int(), bytes: z.number(), maxBytes: z.number(), evictedBytes: z.number() }),
})
export type EdgeStatus = z.infer<typeof edgeStatusSchema>
