import { bytes, duration, listenAddress, secret } from '@millrace/common/config/units'
import { nodeIdSchema } from '@millrace/common/contracts/ids'
import { KEY_ID } from '@millrace/common/contracts/route'
import { presetSchema } from '@millrace/common/contracts/transcode-job'
import { z } from 'zod'
import { DEFAULT_PRESET } from './presets/default.js'

const LOOPBACK = ['127.0.0.1', '::1', 'localhost']
const httpUrl = () => z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, ''))

const originSchema = z.strictObject({
  id: nodeIdSchema.describe('Name of the origin, as routes carry it.'),
  dataUrl: httpUrl().describe('Where edges fetch its media.'),
  controlUrl: httpUrl().describe('Its control API.'),
  rsyncUrl: z.url({ protocol: /^rsync$/ }).describe('Host and port of its rsync daemon.'),
  weight: z.number().positive().default(1).describe('Share of the placement relative to the other origins: its capacity.'),
  zone: z.string().min(1).max(64).optional().describe('Rack or site; for people, until placement looks at it.'),
})
export type OriginConfig = z.infer<typeof originSchema>

const edgeSchema = z.strictObject({
  id: nodeIdSchema.describe('Name of the edge; the pathway id in steered manifests.'),
  url: httpUrl().describe('Public base URL: what players are given.'),
  adminUrl: httpUrl().describe('Its admin listener, whose /readyz is probed.'),
})
export type EdgeConfig = z.infer<typeof edgeSchema>

const rungSizes = DEFAULT_PRESET.rungs.map((rung) => rung.size)

export const configSchema = z
  .strictObject({
    id: nodeIdSchema.default('cms-1').describe('Name of this CMS: its consumer in the event group; keep it over restarts.'),
    listen: listenAddress().describe('Address of the API, the web page and the transcoders’ source downloads.'),
    publicUrl: httpUrl().optional().describe('How players reach this CMS; default http:// and the listen address.'),
    admin: z
      .strictObject({ listen: listenAddress().prefault('127.0.0.1:0').describe('Address of /metrics, /healthz and /readyz.') })
      .prefault({}),
    api: z
      .strictObject({ token: secret().optional().describe('Bearer token of /api; without it the CMS listens on loopback only.') })
      .prefault({}),
    internalToken: secret().describe('Bearer token with which transcoders fetch sources.'),
    redis: z.strictObject({ url: z.url({ protocol: /^rediss?$/ }).describe('Redis of the queue and the event stream.') }),
    database: z
      .strictObject({
        url: z
          .url({ protocol: /^postgres(ql)?$/ })
          .optional()
          .describe('PostgreSQL; takes precedence over path.'),
        path: z.string().min(1).optional().describe('Folder of the embedded PGlite database, for a first try on one box.'),
      })
      .refine((database) => database.url || database.path, 'needs url (PostgreSQL) or path (embedded)'),
    sources: z.strictObject({
      path: z.string().min(1).describe('Folder where uploaded sources are kept.'),
      maxBytes: bytes({ min: '1KiB' }).prefault('50GiB').describe('The largest source that is accepted.'),
    }),
    origins: z.array(originSchema).min(1).max(256).describe('Every origin of the fleet.'),
    originToken: secret().describe('Bearer token of the origins’ control API.'),
    edges: z.array(edgeSchema).min(1).max(1024).describe('Every edge of the fleet.'),
    placement: z
      .strictObject({
        replicas: z
          .union([z.literal('all'), z.number().int().positive()])
          .default('all')
          .describe('Origins that shall hold each video: all, or a number.'),
        minReplicas: z.number().int().positive().default(1).describe('Fewer than this at publishing and the attempt fails.'),
      })
      .prefault({}),
    routes: z
      .strictObject({
        keys: z.record(z.string().regex(KEY_ID), secret()).default({}).describe('Key id → secret, shared with the edges.'),
        sign: z.string().optional().describe('The key id that signs routes; absent: routes are not signed.'),
      })
      .prefault({}),
    preset: z
      .strictObject({
        x264Preset: presetSchema.shape.x264Preset.optional().describe('x264 speed preset in place of the built-in one.'),
        rungs: z
          .array(z.number().refine((size) => rungSizes.includes(size), `is not one of ${rungSizes.join(', ')}`))
          .min(1)
          .optional()
          .describe('The rungs of the built-in ladder to encode, by short side; default all.'),
      })
      .prefault({}),
    jobs: z
      .strictObject({
        maxAttempts: z.number().int().positive().default(5).describe('Takes of one job, crashes included, before it fails.'),
        maxDuration: duration({ min: '1s' }).prefault('12h').describe('The longest source that is accepted, in media time.'),
        reconcileEvery: duration({ min: '50ms' }).prefault('5s').describe('How often rows, queue, replicas and sweeps are compared.'),
      })
      .prefault({}),
    probe: z
      .strictObject({
        every: duration({ min: '50ms' }).prefault('2s').describe('How often edges and origins are probed.'),
        timeout: duration({ min: '50ms' }).prefault('1500ms').describe('How long a probe may take.'),
      })
      .prefault({}),
    playback: z
      .strictObject({
        supersededGrace: duration().prefault('6h').describe('How long a replaced revision stays for those who are watching it.'),
        steeringTtl: duration({ min: '1s' }).prefault('10s').describe('How often players ask for the order of edges.'),
      })
      .prefault({}),
    events: z
      .strictObject({ maxListeners: z.number().int().positive().default(200).describe('Browsers on /api/v1/events at one time.') })
      .prefault({}),
    log: z
      .strictObject({
        level: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info').describe('The least level that is logged.'),
      })
      .prefault({}),
  })
  .superRefine((config, context) => {
    const problem = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message })
    if (!config.api.token && !LOOPBACK.includes(config.listen.host)) {
      problem(['api', 'token'], `is needed when listen is not loopback (${config.listen.host}): anyone could change videos`)
    }
    if (!config.publicUrl && ['0.0.0.0', '::'].includes(config.listen.host)) {
      problem(['publicUrl'], 'is needed when listen is every address: players must be told one')
    }
    const { sign, keys } = config.routes
    if (sign !== undefined && !keys[sign]) problem(['routes', 'sign'], `names the key ${sign}, which is not in routes.keys`)
    const wanted = config.placement.replicas === 'all' ? config.origins.length : config.placement.replicas
    if (wanted > config.origins.length) problem(['placement', 'replicas'], `exceeds the ${config.origins.length} origins`)
    if (config.placement.minReplicas > wanted) problem(['placement', 'minReplicas'], 'exceeds replicas')
    for (const list of ['origins', 'edges'] as const) {
      const ids = config[list].map((node) => node.id)
      if (new Set(ids).size !== ids.length) problem([list], 'has an id twice')
    }
  })
export type CmsConfig = z.output<typeof configSchema>

/** How many origins shall hold a video. */
export function wantedReplicas(config: Pick<CmsConfig, 'placement' | 'origins'>): number {
  return config.placement.replicas === 'all' ? config.origins.length : config.placement.replicas
}
