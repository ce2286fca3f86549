import { bytes, duration, listenAddress, secret } from '@millrace/common/config/units'
import { nodeIdSchema } from '@millrace/common/contracts/ids'
import { z } from 'zod'

const rsyncSchema = z.strictObject({
  user: z
    .string()
    .regex(/^[a-zA-Z0-9_-]{1,64}$/)
    .default('transcoder')
    .describe('User of the origins’ rsync daemons.'),
  secret: secret().describe('Secret of that user, literal or file:/path.'),
  path: z.string().min(1).default('rsync').describe('The rsync program.'),
})

export const configSchema = z.strictObject({
  id: nodeIdSchema.describe('Name of this transcoder, unique in the fleet.'),
  redis: z.strictObject({
    url: z.url({ protocol: /^rediss?$/ }).describe('Redis of the queue, e.g. redis://:password@10.0.0.1:6379/0.'),
  }),
  admin: z.strictObject({
    listen: listenAddress().describe('Private listener of /metrics, /healthz and /readyz.'),
  }),
  workspace: z
    .string()
    .min(1)
    .describe('Folder for sources and renditions in work; this transcoder’s own: what an earlier life left there is removed at start.'),
  cms: z.strictObject({
    url: z.url({ protocol: /^https?$/ }).describe('Base URL of the CMS; stored sources are fetched from it.'),
    token: secret().describe('The CMS’s internal token.'),
  }),
  publish: z.strictObject({
    rsync: rsyncSchema,
    controlToken: secret().describe('Bearer token of the origins’ control API.'),
    connectTimeout: duration({ min: '100ms' }).default(10_000).describe('Longest wait for a connection to an origin.'),
    silenceTimeout: duration({ min: '1s' }).default(60_000).describe('A transfer without a byte for this long is broken off.'),
    callTimeout: duration({ min: '100ms' }).default(15_000).describe('Longest wait for one answer of an origin’s control API.'),
    commitTimeout: duration({ min: '1s' }).default(7_200_000).describe('Longest time that an origin may verify one asset.'),
    attempts: z.number().int().min(1).max(20).default(3).describe('Tries per origin before the next one on the list takes its place.'),
    bandwidthLimit: bytes({ min: '1KiB' }).optional().describe('Bytes per second and origin; absent: unlimited.'),
  }),
  sources: z
    .strictObject({
      allowPrivate: z
        .array(z.union([z.cidrv4(), z.cidrv6()]))
        .default([])
        .describe('CIDRs outside the public internet from which sources may come.'),
      connectTimeout: duration({ min: '100ms' }).default(10_000).describe('Longest wait for a connection to a source.'),
      headersTimeout: duration({ min: '100ms' }).default(30_000).describe('Longest wait for the head of a source’s answer.'),
      bodyTimeout: duration({ min: '100ms' }).default(30_000).describe('Longest silence within a source’s body.'),
      timeout: duration({ min: '1s', max: '7d' })
        .default(12 * 3_600_000)
        .describe('Longest time for one source, all its requests together: one that trickles must not hold a transcoder for ever.'),
      maxRedirects: z.number().int().min(0).max(20).default(5).describe('Redirects followed from a source’s URL.'),
      attempts: z.number().int().min(1).max(50).default(5).describe('Requests for one source; each goes on where the last one broke.'),
    })
    .prefault({}),
  ffmpeg: z
    .strictObject({
      path: z.string().min(1).default('ffmpeg').describe('The ffmpeg program.'),
      probePath: z.string().min(1).default('ffprobe').describe('The ffprobe program.'),
      stallTimeout: duration({ min: '1s' })
        .default(120_000)
        .describe('An encode without progress for this long is killed and tried again.'),
      probeTimeout: duration({ min: '1s' }).default(300_000).describe('Longest time for probing one file.'),
      threads: z.number().int().min(0).max(512).default(0).describe('Threads of each encoder; 0: as many as ffmpeg sees fit.'),
      nice: z.number().int().min(0).max(19).default(5).describe('Niceness of ffmpeg, so that this service keeps answering beside it.'),
    })
    .prefault({}),
  queue: z
    .strictObject({
      stallInterval: duration({ min: '1s', max: '5m' })
        .default(5000)
        .describe('A worker silent for one to two of these has lost its job; one value for the whole fleet.'),
      backoff: duration({ min: '1ms' })
        .default(5000)
        .describe('Wait before the second take of a failed job; doubles with each further one.'),
      maxBackoff: duration({ min: '1ms' }).default(300_000).describe('Longest of these waits.'),
      finishedTtl: duration({ min: '1h' })
        .default(604_800_000)
        .describe('How long the end of a job is remembered against a second delivery.'),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info').describe('Lowest level that is written.'),
    })
    .prefault({}),
})
export type Config = z.output<typeof configSchema>
