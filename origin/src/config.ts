import { isIP } from 'node:net'
import { isAbsolute } from 'node:path'
import { bytes, duration, listenAddress, secret } from '@millrace/common/config/units'
import { nodeIdSchema } from '@millrace/common/contracts/ids'
import { z } from 'zod'

/** No spaces, colons, commas, `%`, `@` or `#`: they mean something in rsyncd.conf or its secrets file. */
const rsyncUser = z.string().regex(/^[a-z][a-z0-9_-]{0,31}$/, 'is not a user name of a-z, 0-9, _ and -')

const rsyncAccount = z.strictObject({
  user: rsyncUser.describe('rsync user name; needs no account on the system'),
  secret: secret()
    .refine((value) => !/[\r\n]/.test(value.reveal()), 'must be one line')
    .describe('password of that user, literal or file:/path'),
})

const folder = z
  .string()
  .refine(isAbsolute, 'is not an absolute path')
  .refine((path) => !/[\p{Cc}%]|\/\.\//u.test(path), 'must not hold %, /./ or control characters')
  .refine((path) => path.trim() === path, 'must not begin or end with a space')

const network = z.string().refine((text) => {
  const [address = '', bits] = text.split('/')
  const family = isIP(address)
  return family !== 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)))
}, 'is not an address or a network such as 10.0.0.0/8')

/** The origin's whole configuration (YAML). */
export const configSchema = z.strictObject({
  id: nodeIdSchema.describe('name of this origin, as routes carry it'),
  listen: listenAddress().describe('data listener: only edges and the CMS need to reach it'),
  control: z.strictObject({
    listen: listenAddress().describe('control API: CMS and transcoders, private network'),
    token: secret().describe('bearer token that every control request carries'),
  }),
  admin: z.strictObject({ listen: listenAddress().describe('/metrics, /healthz and /readyz') }),
  root: folder.describe('media folder; one filesystem, because a commit hard-links from staging/ into assets/'),
  state: folder.describe('folder for what is derived from the media: manifests, live markers, rsync daemon files'),
  rsync: z
    .strictObject({
      listen: listenAddress().describe('rsync daemon; port 0 picks a free one'),
      transcoders: z.array(rsyncAccount).min(1).describe('accounts that may write into the staging module'),
      sibling: rsyncAccount.describe('account that other origins read assets with, and that this origin reads theirs with'),
      maxConnections: z.number().int().min(1).max(10_000).default(64).describe('concurrent rsync connections per module'),
      hostsAllow: z
        .array(network)
        .min(1)
        .default(['127.0.0.0/8', '::1'])
        .describe('addresses and networks that may connect to the rsync daemon'),
      timeout: duration({ min: '1s', max: '1h' }).default(60_000).describe('longest silence of an rsync transfer, both ways'),
    })
    .refine(
      (rsync) => new Set([rsync.sibling, ...rsync.transcoders].map((account) => account.user)).size === rsync.transcoders.length + 1,
      'has two accounts with one user name',
    ),
  packager: z.enum(['auto', 'embedded', 'nginx-vod']).default('auto').describe('who makes the segments; auto takes the best one available'),
  packagerCache: bytes({ min: '1MiB' })
    .default(256 * 2 ** 20)
    .describe('memory for sample indexes of the embedded packager'),
  files: z
    .strictObject({ allowMp4: z.boolean().default(false).describe('serve whole mp4 files under /files/') })
    .default({ allowMp4: false }),
  minFreeBytes: bytes()
    .default(2 ** 30)
    .describe('commits and pulls are refused when the disk has less than this free'),
  operations: z
    .strictObject({ concurrency: z.number().int().min(1).max(64).default(4).describe('commits and pulls that run at the same time') })
    .default({ concurrency: 4 }),
  staging: z
    .strictObject({
      maxAge: duration({ min: '1s' })
        .default(24 * 3_600_000)
        .describe('staged folders that nobody wrote to for this long are removed'),
      sweepInterval: duration({ min: '1s', max: '1d' })
        .default(10 * 60_000)
        .describe('how often the janitor looks'),
    })
    .default({ maxAge: 24 * 3_600_000, sweepInterval: 10 * 60_000 }),
  log: z
    .strictObject({
      level: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace']).default('info').describe('lowest level that is logged'),
    })
    .default({ level: 'info' }),
})

export type Config = z.output<typeof configSchema>
