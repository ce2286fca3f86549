import { bytes, duration, listenAddress, secret } from '@millrace/common/config/units'
import { nodeIdSchema } from '@millrace/common/contracts/ids'
import { KEY_ID } from '@millrace/common/contracts/route'
import { z } from 'zod'

const originUrl = z
  .url({ protocol: /^https?$/ })
  .refine((text) => URL.canParse(text) && new URL(text).href === `${new URL(text).origin}/`, 'is not just scheme, host and port')
  .transform((text) => new URL(text).origin)

const adminSchema = z.strictObject({
  listen: listenAddress().describe('Private address of /metrics, /healthz, /readyz and /v1/status.'),
  token: secret().optional().describe('Bearer token that /v1/status demands; without one it is open to whoever reaches the address.'),
})

const logSchema = z.strictObject({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error'])
    .default('info')
    .describe('Lowest level that is logged; requests are at debug.'),
  accessSample: z.number().min(0).max(1).default(1).describe('Fraction of the requests that get a log line.'),
})

const cacheSchema = z
  .strictObject({
    path: z.string().min(1).describe('Folder of the disk cache, of this edge alone; made when missing.'),
    size: bytes({ min: '1MiB' }).describe('What the cache may take on disk, headers and running fills included.'),
    maxObject: bytes({ min: '1KiB' }).prefault('64MiB').describe('Larger responses are passed through unstored.'),
  })
  .refine((cache) => cache.maxObject <= cache.size, { message: 'must not exceed cache.size', path: ['maxObject'] })

const originSchema = z.strictObject({
  id: nodeIdSchema.describe('The name that routes use.'),
  url: originUrl.describe('Scheme, host and port of its data listener.'),
})

const routesSchema = z.strictObject({
  keys: z.record(z.string().regex(KEY_ID, 'is not a key id'), secret()).default({}).describe('Key id to secret, for signed routes.'),
  require: z.boolean().default(false).describe('Whether every request must carry a valid signature.'),
})

const fetchSchema = z.strictObject({
  connectTimeout: duration({ min: '50ms', max: '1m' }).prefault('2s').describe('To a connection with an origin.'),
  headersTimeout: duration({ min: '50ms', max: '5m' }).prefault('10s').describe("From the request to the origin's first byte."),
  bodyTimeout: duration({ min: '50ms', max: '5m' }).prefault('10s').describe("The longest silence within an origin's body."),
  connections: z
    .number()
    .int()
    .min(1)
    .max(4096)
    .default(64)
    .describe('Connections to each origin for fills; what passes by the cache has one per client.'),
  maxFills: z.number().int().min(1).default(512).describe('Fills at once; a request that needs one more gets 503.'),
  maxWaiters: z.number().int().min(1).default(10_000).describe('Requests that one fill may feed; further ones get 503.'),
})

const corsSchema = z.strictObject({
  origin: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'is not an origin')
    .default('*')
    .describe('Value of access-control-allow-origin.'),
})

const healthSchema = z.strictObject({
  failures: z.number().int().min(1).default(3).describe('Failures in a row after which an origin is asked last.'),
  coolDown: duration({ min: '100ms', max: '10m' }).prefault('5s').describe('Until a failing origin gets a trial request.'),
})

export const configSchema = z
  .strictObject({
    id: nodeIdSchema.describe('Name of this edge.'),
    listen: listenAddress().describe('Public address.'),
    admin: adminSchema,
    log: logSchema.prefault({}),
    cache: cacheSchema,
    origins: z.array(originSchema).min(1).max(256).describe('Every origin that a route may name.'),
    routes: routesSchema.prefault({}),
    fetch: fetchSchema.prefault({}),
    cors: corsSchema.prefault({}),
    negativeTtl: duration({ max: '1m' }).prefault('2s').describe("How long an origin's 404 is remembered."),
    health: healthSchema.prefault({}),
    drainTimeout: duration({ max: '10m' }).prefault('30s').describe('How long running transfers may go on after SIGTERM.'),
  })
  .refine((config) => new Set(config.origins.map((origin) => origin.id)).size === config.origins.length, {
    message: 'two origins have one id',
    path: ['origins'],
  })
  .refine((config) => !config.routes.require || Object.keys(config.routes.keys).length > 0, {
    message: 'is needed when routes.require is set',
    path: ['routes', 'keys'],
  })

export type Config = z.output<typeof configSchema>
