import { duration, listenAddress, secret } from '@millrace/common/config/units'
import { nodeIdSchema } from '@millrace/common/contracts/ids'
import { z } from 'zod'
import { accessLogSchema } from './access-log.js'
import { routesSchema } from './auth/config.js'
import { cacheSchema, ramSchema } from './cache/config.js'
import { cmcdSchema, prefetchSchema } from './cmcd/config.js'
import { genericPathsSchema } from './generic/config.js'
import { tlsSchema } from './http/tls.js'
import { clientsSchema, limitsSchema } from './limits/config.js'
import { fetchSchema, healthSchema, originsSchema } from './origin/config.js'
import { workersSchema } from './supervise/config.js'

const oneOrMore = z
  .union([listenAddress(), z.array(listenAddress()).min(1).max(16)])
  .transform((given) => (Array.isArray(given) ? given : [given]))

const adminSchema = z.strictObject({
  listen: listenAddress().describe('Private address of /metrics, /healthz, /readyz and /v1.'),
  token: secret()
    .optional()
    .describe(
      'Bearer token that /v1 demands. Without one, what only tells is open to whoever reaches the address, and purges are refused.',
    ),
})

const logSchema = z.strictObject({
  level: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info').describe('Lowest level that is logged.'),
  access: accessLogSchema.prefault({}),
})

const corsSchema = z.strictObject({
  origin: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'is not an origin')
    .default('*')
    .describe('Value of access-control-allow-origin.'),
})

const staleSchema = z.strictObject({
  whileRevalidate: duration({ max: '1d' })
    .prefault('0s')
    .describe('How long a stale object is served while it is revalidated, where the origin says nothing (stale-while-revalidate).'),
  ifError: duration({ max: '365d' })
    .prefault('1d')
    .describe('How long a stale object is served when no origin can answer, where the origin says nothing (stale-if-error).'),
})

export const configSchema = z
  .strictObject({
    id: nodeIdSchema.describe('Name of this edge.'),
    listen: oneOrMore.optional().describe('Public address, or several: 0.0.0.0:80, [::]:80.'),
    tls: tlsSchema.optional(),
    admin: adminSchema,
    workers: workersSchema,
    log: logSchema.prefault({}),
    cache: cacheSchema,
    ram: ramSchema.prefault({}),
    openFiles: z.number().int().min(16).max(1_000_000).default(4096).describe('Descriptors of stored objects that each worker keeps open.'),
    compress: z
      .boolean()
      .default(true)
      .describe(
        'Whether playlists and other text are answered in gzip or brotli to those who take it. Never what an origin marks no-transform.',
      ),
    origins: originsSchema.describe('Every origin that a route may name.'),
    routes: routesSchema.prefault({}),
    paths: genericPathsSchema.default([]).describe('Parts of the URL space that are a plain caching reverse proxy.'),
    fetch: fetchSchema.prefault({}),
    cors: corsSchema.prefault({}),
    stale: staleSchema.prefault({}).describe('For media paths; what an origin says about itself comes first.'),
    negativeTtl: duration({ max: '1m' }).prefault('2s').describe("How long an origin's 404 is remembered."),
    health: healthSchema.prefault({}),
    limits: limitsSchema.prefault({}),
    clients: clientsSchema.prefault({}),
    cmcd: cmcdSchema.prefault({}),
    prefetch: prefetchSchema.prefault({}),
    drainTimeout: duration({ max: '10m' }).prefault('30s').describe('How long running transfers may go on after SIGTERM.'),
  })
  .refine((config) => config.listen !== undefined || config.tls !== undefined, {
    message: 'is missing, or tls.listen',
    path: ['listen'],
  })
  .superRefine(({ origins, paths }, context) => {
    for (const [index, path] of paths.entries()) {
      if (origins.some((origin) => origin.id === path.origin)) continue
      context.addIssue({ code: 'custom', message: `${path.origin} is none of origins`, path: ['paths', index, 'origin'] })
    }
  })

export type Config = z.output<typeof configSchema>
