import type { ListenAddress } from '@millrace/common/config/units'

/** What rsyncd.conf is made of; folders are absolute paths without control characters, which the config schema has seen to. */
export interface RsyncdSettings {
  stagingRoot: string
  assetsRoot: string
  secretsFile: string
  lockFile: string
  logFile: string
  transcoders: string[]
  siblings: string[]
  hostsAllow: string[]
  maxConnections: number
  timeoutSeconds: number
  /** Set where the daemon runs as root: modules are chrooted and files belong to this user. */
  root?: { uid: number; gid: number }
}

/**
 * The options that a client may use, by name; every other one is refused. So nobody writes in place (`--inplace`, `--append`),
 * deletes, makes links or devices, or reads from beside its folder (`--link-dest`, `--copy-dest`, `--temp-dir`, …). `--partial-dir` is
 * refused too: rsync goes on in the very file that lies there, so a hung client could keep writing into a committed one. With plain
 * `--partial` it builds a new file from the old one.
 */
const WRITE_OPTIONS = [
  'recursive',
  'dirs',
  'times',
  'omit-dir-times',
  'perms',
  'verbose',
  'partial',
  'timeout',
  'mkpath',
  'whole-file',
  'bwlimit',
  'checksum*',
  'compress*',
  'new-compress',
  'old-compress',
  'ignore-times',
  'size-only',
  'block-size',
  'fsync',
  'stats',
  'info',
  'debug',
  'msgs2stderr',
  'no-*',
]
const READ_OPTIONS = [...WRITE_OPTIONS, 'links', 'group', 'owner', 'devices', 'specials']

/** rsyncd.conf(5). `staging` takes files and gives none back, `assets` gives and takes none; neither is listed. */
export function renderRsyncdConf(settings: RsyncdSettings): string {
  const { root } = settings
  return [
    'reverse lookup = no',
    'max verbosity = 1',
    `log file = ${settings.logFile}`,
    `lock file = ${settings.lockFile}`,
    `secrets file = ${settings.secretsFile}`,
    'strict modes = yes',
    `hosts allow = ${settings.hostsAllow.join(' ')}`,
    `max connections = ${settings.maxConnections}`,
    `timeout = ${settings.timeoutSeconds}`,
    `use chroot = ${root ? 'yes' : 'no'}`,
    'munge symlinks = yes',
    ...(root ? [`uid = ${root.uid}`, `gid = ${root.gid}`] : []),
    'numeric ids = yes',
    'list = no',
    '',
    '[staging]',
    `path = ${settings.stagingRoot}`,
    'read only = no',
    'write only = yes',
    `auth users = ${settings.transcoders.join(' ')}`,
    'incoming chmod = Du=rwx,Dgo=rx,Fu=rw,Fgo=r',
    `refuse options = * ${WRITE_OPTIONS.map((name) => `!${name}`).join(' ')}`,
    '',
    '[assets]',
    `path = ${settings.assetsRoot}`,
    'read only = yes',
    `auth users = ${settings.siblings.join(' ')}`,
    `refuse options = * ${READ_OPTIONS.map((name) => `!${name}`).join(' ')}`,
    '',
  ].join('\n')
}

/** The secrets file: one `user:password` a line. */
export function renderSecrets(accounts: { user: string; password: string }[]): string {
  return accounts.map(({ user, password }) => `${user}:${password}\n`).join('')
}

/** `rsync --daemon` in the foreground. */
export function daemonArgs(confFile: string, listen: ListenAddress): string[] {
  return ['--daemon', '--no-detach', `--config=${confFile}`, `--address=${listen.host}`, `--port=${listen.port}`]
}
