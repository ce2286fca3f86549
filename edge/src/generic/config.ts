import { nodeIdSchema } from '@millrace/common/contracts/ids'
import { z } from 'zod'

const prefix = z
  .string()
  .regex(/^\/[\x21-\x7e]*$/, 'is not a path')
  .refine((text) => !/[?#\\%]|\/\/|\/\.\.?(\/|$)/.test(text), 'has characters that a prefix cannot have')
  .transform((text) => (text === '/' ? text : text.replace(/\/$/, '')))

/** A part of the URL space that this edge caches for one origin, by HTTP's rules alone. */
export const genericPathSchema = z.strictObject({
  prefix: prefix.describe(
    'Paths below it, and itself; the longest that fits a request counts. Not removed: the origin sees the whole path.',
  ),
  mode: z.literal('generic').describe('A plain caching reverse proxy.'),
  origin: nodeIdSchema.describe('Whom to ask; one of origins.'),
})
export type GenericPath = z.output<typeof genericPathSchema>

export const genericPathsSchema = z
  .array(genericPathSchema)
  .max(256)
  .refine((paths) => new Set(paths.map((path) => path.prefix)).size === paths.length, 'two paths have one prefix')
