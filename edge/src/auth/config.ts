import { duration, secret } from '@millrace/common/config/units'
import type { MediaClass } from '@millrace/common/contracts/media-url'
import { KEY_ID } from '@millrace/common/contracts/route'
import { z } from 'zod'

const MEDIA_CLASSES = ['segment', 'init', 'playlist', 'text', 'image', 'download'] as const satisfies readonly MediaClass[]

/** Which paths demand a signed route. */
export type Demanded = boolean | readonly MediaClass[]

export const routesSchema = z
  .strictObject({
    keys: z
      .record(z.string().regex(KEY_ID, 'is not a key id'), secret())
      .default({})
      .describe('Key id to secret, for signed routes; several, so that keys can be rotated.'),
    require: z
      .union([z.boolean(), z.array(z.enum(MEDIA_CLASSES)).min(1)], 'is true, false or a list of classes such as [segment, init]')
      .default(false)
      .describe('Whether a request must carry a valid signature: all, none, or those for paths of the listed classes.'),
    skew: duration({ max: '10m' })
      .prefault('30s')
      .describe("How long after its expiry a signature still holds, for clocks that don't agree."),
  })
  .refine((routes) => routes.require === false || Object.keys(routes.keys).length > 0, {
    message: 'is needed when routes.require is set',
    path: ['keys'],
  })
