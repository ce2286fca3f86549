export interface Transfer {
  /** The origin's daemon, e.g. `rsync://10.0.0.1:8730`. */
  rsyncUrl: string
  user: string
  videoId: string
  rev: string
  /** Exactly these, by name: nothing else of the folder is sent. */
  files: string[]
  connectTimeoutMs: number
  silenceTimeoutMs: number
  /** Bytes per second. */
  bandwidthLimit: number | undefined
  /** Look into files that seem to be there already: an origin found one wrong. */
  suspicious: boolean
}

/**
 * Arguments of rsync, run in the folder of the files. What was cut off stays, and the next try goes on from it
 * in a new file. Never `--partial-dir`, `--inplace` or `--append`, which write into existing files: the daemons refuse them.
 */
export function rsyncArgs(transfer: Transfer): string[] {
  const { host } = new URL(transfer.rsyncUrl)
  const seconds = (milliseconds: number) => String(Math.max(1, Math.ceil(milliseconds / 1000)))
  return [
    ...['--times', '--mkpath', '--partial', '--chmod=D0755,F0644', '--info=progress2', '--outbuf=N'],
    `--contimeout=${seconds(transfer.connectTimeoutMs)}`,
    `--timeout=${seconds(transfer.silenceTimeoutMs)}`,
    ...(transfer.bandwidthLimit === undefined ? [] : [`--bwlimit=${Math.max(1, Math.round(transfer.bandwidthLimit / 1024))}`]),
    ...(transfer.suspicious ? ['--ignore-times'] : []),
    '--',
    ...transfer.files,
    `rsync://${transfer.user}@${host}/staging/${transfer.videoId}/${transfer.rev}/`,
  ]
}

/** Bytes sent so far, from a line of `--info=progress2` such as `  1,234,567  45%   12.3MB/s    0:00:01`. */
export function parseRsyncProgress(line: string): number | undefined {
  const match = /^\s*(\d[\d,.]{0,24})\s+\d{1,3}%\s/.exec(line)
  return match ? Number(match[1]!.replace(/[,.]/g, '')) : undefined
}

/** What an exit code means (rsync(1), EXIT VALUES). */
export function rsyncFailure(exitCode: number | undefined, stderr: string): { code: string; retryable: boolean } {
  switch (exitCode) {
    case 5:
      // The daemon said no: to who we are, for good; or for now, as with too many connections.
      return /auth failed|unknown module|access denied/i.test(stderr)
        ? { code: 'rsync-refused', retryable: false }
        : { code: 'origin-busy', retryable: true }
    case 1:
    case 2:
    case 4:
      return { code: 'rsync-incompatible', retryable: false }
    case 10:
    case 35:
      return { code: 'origin-unreachable', retryable: true }
    case 30:
      return { code: 'transfer-stalled', retryable: true }
    default:
      return { code: 'transfer-broken', retryable: true }
  }
}
