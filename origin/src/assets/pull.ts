import { mkdir } from 'node:fs/promises'
import { ASSET_JSON } from '@millrace/common/contracts/asset'
import { MillraceError } from '@millrace/common/errors'
import { bound } from '@millrace/common/process'
import { type AssetRef, type Layout, refKey } from './layout.js'
import type { Work } from './operations.js'
import { readAssetJson } from './verify.js'

const STDERR_LINES = 20

export interface PullSource {
  /** The sibling's daemon, e.g. `rsync://10.0.0.2:8730`. */
  rsyncUrl: string
  user: string
  password: string
  /** The longest silence of the transfer, in milliseconds. */
  timeoutMs: number
  /** Throws when the disk has no room for that many bytes. */
  ensureSpace: (bytes: number) => Promise<void>
}

/**
 * A sibling's asset → our staging; the commit that follows judges it like any other. `asset.json` comes first, so that a sibling with
 * another asset is found out before its gigabytes are moved. What a broken transfer brought stays and the next one goes on from there.
 *
 * @throws MillraceError `pull-failed` (retryable) with rsync's last lines; what `readAssetJson` and `ensureSpace` throw.
 */
export async function pull(layout: Layout, ref: AssetRef, assetSha256: string, source: PullSource, work: Work): Promise<void> {
  const staged = layout.staged(ref)
  await mkdir(staged, { recursive: true })
  await transfer(pullArgs(source, ref, ASSET_JSON, staged), source, { ...work, onBytes: () => undefined })
  const asset = await readAssetJson(staged, ref, assetSha256)
  // Each byte is moved, then hashed by the commit.
  const bytes = asset.files.reduce((sum, file) => sum + file.bytes, 0)
  work.onTotal(2 * bytes)
  await source.ensureSpace(bytes)
  let left = bytes
  const moved = (count: number) => {
    // rsync counts asset.json too, and doesn't count what was here before.
    const part = Math.min(count, left)
    left -= part
    work.onBytes(part)
  }
  await transfer(pullArgs(source, ref, '', staged), source, { ...work, onBytes: moved })
  moved(left)
}

/** rsync's arguments for one file of an asset, or with an empty name for the whole folder. */
export function pullArgs(source: Pick<PullSource, 'rsyncUrl' | 'user' | 'timeoutMs'>, ref: AssetRef, name: string, to: string): string[] {
  const { host } = new URL(source.rsyncUrl)
  return [
    '--recursive',
    '--times',
    // A broken file stays under its own name as the basis of the next try, which writes a new file: never in place.
    '--partial',
    '--chmod=Du=rwx,Dgo=rx,Fu=rw,Fgo=r',
    `--timeout=${Math.ceil(source.timeoutMs / 1000)}`,
    `--contimeout=${Math.ceil(source.timeoutMs / 1000)}`,
    '--info=progress2',
    '--no-human-readable',
    '--no-motd',
    '--',
    `rsync://${source.user}@${host}/assets/${refKey(ref)}/${name}`,
    `${to}/`,
  ]
}

/** The bytes in a line of `--info=progress2`: `  1,234,567  45%  1.2MB/s …`. */
export function progressBytes(line: string): number | undefined {
  const match = /^\s*([\d,.]+)\s+\d{1,3}%\s/.exec(line)
  return match ? Number(match[1]!.replace(/[,.]/g, '')) : undefined
}

async function transfer(args: string[], source: PullSource, work: Work): Promise<void> {
  const child = bound('rsync', args, {
    env: { RSYNC_PASSWORD: source.password, LC_ALL: 'C' },
    stdin: 'ignore',
    buffer: false,
    reject: false,
    cancelSignal: work.signal,
    forceKillAfterDelay: 2000,
  })
  const errors: string[] = []
  let seen = 0
  const readErrors = async () => {
    for await (const line of child.iterable({ from: 'stderr' })) {
      errors.push(line)
      if (errors.length > STDERR_LINES) errors.shift()
    }
  }
  const readProgress = async () => {
    for await (const chunk of child.stdout!) {
      for (const line of String(chunk).split(/[\r\n]/)) {
        const bytes = progressBytes(line)
        if (bytes === undefined || bytes <= seen) continue
        work.onBytes(bytes - seen)
        seen = bytes
      }
    }
  }
  const [result] = await Promise.all([child, readErrors(), readProgress()])
  work.signal.throwIfAborted()
  if (result.exitCode === 0) return
  throw new MillraceError(`rsync from ${new URL(source.rsyncUrl).host} ended with ${result.exitCode ?? result.signal ?? 'an error'}`, {
    code: 'pull-failed',
    source: 'transfer',
    retryable: true,
    cause: result.cause,
    detail: errors.join('\n'),
  })
}
