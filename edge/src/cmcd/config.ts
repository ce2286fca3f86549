import { bytes } from '@millrace/common/config/units'
import { z } from 'zod'

export const cmcdSchema = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe('Whether what players tell of themselves (CTA-5004, query or headers) is read and counted. It never goes upstream.'),
  sample: z.number().min(0).max(1).default(1).describe('Fraction of the requests of which it is counted.'),
})
export type CmcdConfig = z.output<typeof cmcdSchema>

export const prefetchSchema = z.strictObject({
  enabled: z
    .boolean()
    .default(false)
    .describe(
      'Whether the object that a player will ask for next is fetched ahead: the one it names (CMCD `nor`, of all requests while `cmcd.enabled` is set).',
    ),
  next: z.boolean().default(true).describe('Whether the following segment is fetched for players that name none.'),
  maxConcurrent: z.number().int().min(1).max(256).default(8).describe('Prefetches at once, over all workers.'),
  rate: bytes({ min: '64KiB' }).prefault('32MiB').describe('Bytes per second of all prefetches together.'),
})
export type PrefetchConfig = z.output<typeof prefetchSchema>
