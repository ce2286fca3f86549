import { readFileSync } from 'node:fs'
import { duration } from '@millrace/common/config/units'
import { nodeIdSchema } from '@millrace/common/contracts/ids'
import { z } from 'zod'

const originUrl = z
  .url({ protocol: /^https?$/ })
  .refine((text) => URL.canParse(text) && new URL(text).href === `${new URL(text).origin}/`, 'is not just scheme, host and port')
  .transform((text) => new URL(text).origin)

/** A file with PEM certificates, parsed to its text. */
const certificates = z.string().transform((path, context) => {
  try {
    const text = readFileSync(path, 'utf8')
    if (text.includes('-----BEGIN CERTIFICATE-----')) return text
    context.addIssue({ code: 'custom', message: 'has no PEM certificate' })
  } catch (error) {
    context.addIssue({ code: 'custom', message: `cannot be read: ${(error as Error).message}` })
  }
  return z.NEVER
})

const originSchema = z
  .strictObject({
    id: nodeIdSchema.describe('The name that routes use.'),
    url: originUrl.describe('Scheme, host and port of its data listener.'),
    ca: certificates.optional().describe('File of PEM certificates of those that sign for an https origin, instead of the usual ones.'),
  })
  .refine((origin) => origin.ca === undefined || origin.url.startsWith('https:'), {
    message: 'is of no use to an http origin',
    path: ['ca'],
  })
export type OriginConfig = z.output<typeof originSchema>

export const originsSchema = z
  .array(originSchema)
  .min(1)
  .max(256)
  .refine((origins) => new Set(origins.map((origin) => origin.id)).size === origins.length, 'two origins have one id')

const retryBudgetSchema = z.strictObject({
  ratio: z.number().min(0).max(10).default(0.2).describe('Retries per first request that are allowed.'),
  minPerSecond: z.number().min(0).max(10_000).default(10).describe('Retries per second that are always allowed.'),
  burst: z
    .number()
    .min(0)
    .max(100_000)
    .default(500)
    .describe('Retries that may be saved up, and are there at the start: when one origin of several dies, whatever runs there needs one.'),
})

export const fetchSchema = z.strictObject({
  connectTimeout: duration({ min: '50ms', max: '1m' }).prefault('2s').describe('To a connection with an origin, TLS included.'),
  headersTimeout: duration({ min: '50ms', max: '5m' }).prefault('10s').describe("From the end of the request to the origin's first byte."),
  bodyTimeout: duration({ min: '50ms', max: '5m' })
    .prefault('10s')
    .describe("The longest silence within an origin's body, and the longest time in which nothing of a client's request body moves."),
  connections: z
    .number()
    .int()
    .min(1)
    .max(4096)
    .default(64)
    .describe('Connections to each origin for fills; what passes by the cache has one per client.'),
  queueTimeout: duration({ max: '1m' })
    .prefault('2s')
    .describe('How long a fill waits for one of those connections before the next origin is asked.'),
  hedgeAfter: duration({ max: '1m' })
    .prefault('0s')
    .describe('Silence of the first origin after which the next one is asked too; 0s: never.'),
  lockTimeout: duration({ min: '50ms', max: '5m' })
    // A hung origin is left for the next one before those who wait ask it too, each by itself.
    .prefault('15s')
    .describe(
      'How long a request waits for the head of a fill that another one leads, before it asks an origin itself. Best longer than connectTimeout and headersTimeout together.',
    ),
  retryBudget: retryBudgetSchema
    .prefault({})
    .describe(
      'What retries may add to the load of origins: once for fills and, with several workers, once more for what passes by the cache.',
    ),
  maxFills: z.number().int().min(1).default(512).describe('Fills at once; a request that needs one more gets 503.'),
  maxWaiters: z.number().int().min(1).default(10_000).describe('Requests that one fill may feed; further ones get 503.'),
})
export type FetchConfig = z.output<typeof fetchSchema>

const probeSchema = z.strictObject({
  path: z
    .string()
    .regex(/^\/[\x21-\x7e]*$/, 'is not a path')
    .default('/')
    .describe('Asked with HEAD; any answer below 500 counts as alive, so that an origin needs nothing of its own for it.'),
  interval: duration({ min: '100ms', max: '1h' }).prefault('5s').describe('Between probes of one origin, spread by half of it.'),
  timeout: duration({ min: '50ms', max: '1m' }).prefault('2s').describe('For the answer, connection included.'),
})

export const healthSchema = z.strictObject({
  failures: z
    .number()
    .int()
    .min(1)
    .default(3)
    .describe(
      'Failures in a row, of requests or of probes, after which an origin is asked last. Fills count them together, and with several workers each worker for itself of what passes by the cache.',
    ),
  coolDown: duration({ min: '100ms', max: '10m' })
    .prefault('5s')
    .describe('Until a failing origin gets a trial request, give or take a fifth.'),
  probe: z
    .union([z.literal(false), probeSchema])
    .prefault({})
    .describe('Asks every origin from time to time whether it is there; false: never.'),
})
export type HealthConfig = z.output<typeof healthSchema>
