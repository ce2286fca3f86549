import { chmod, link, lstat, mkdir, mkdtemp, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ASSET_JSON, type Asset } from '@millrace/common/contracts/asset'
import { MillraceError } from '@millrace/common/errors'
import { errorCode, syncFolder } from './durable.js'
import { type AssetRef, type Layout, refKey } from './layout.js'
import { missingFile, notRegular, readAssetJson, type VerifyOptions, verifyFile } from './verify.js'

export interface CollectOptions extends VerifyOptions {
  /** Told once it's known how much there is to hash. */
  onTotal: (bytes: number) => void
}

/**
 * Staging → a verified folder of our own in `tmp/`, holding exactly the listed files and `asset.json`.
 *
 * The files are hard-linked, so this costs no copy, and what is judged is the inode that stays: a transfer that is still running can put
 * new files under the staged names, but can't reach ours, since the daemon writes whole new files.
 *
 * @throws MillraceError naming the file. A staged file with wrong bytes is removed, because rsync would take its size and time
 *   for a proof that it needn't be sent again.
 */
export async function collect(
  layout: Layout,
  ref: AssetRef,
  assetSha256: string,
  options: CollectOptions,
): Promise<{ folder: string; asset: Asset }> {
  const staged = layout.staged(ref)
  await refuseLinks(layout, ref)
  await mkdir(layout.tmp, { recursive: true })
  const folder = await mkdtemp(join(layout.tmp, 'commit-'))
  try {
    const take = (name: string, check: () => Promise<void>) => takeFile(staged, folder, name, check)
    let asset: Asset | undefined
    await take(ASSET_JSON, async () => {
      asset = await readAssetJson(folder, ref, assetSha256)
    })
    if (!asset) throw new Error('unreachable: asset.json was taken unread')
    options.onTotal(asset.files.reduce((sum, file) => sum + file.bytes, 0))
    for (const file of asset.files) await take(file.name, () => verifyFile(folder, file, options))
    await sealFolder(folder)
    return { folder, asset }
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

async function takeFile(staged: string, folder: string, name: string, check: () => Promise<void>): Promise<void> {
  await linkFile(join(staged, name), join(folder, name), name)
  try {
    await check()
  } catch (error) {
    if (error instanceof MillraceError) await rm(join(staged, name), { force: true })
    throw error
  }
}

/** link(2) on Linux links a symbolic link itself, so the opening after it sees what was there. */
async function linkFile(from: string, to: string, name: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT') throw missingFile(name)
    // EPERM: a folder.
    if (code === 'EPERM' || code === 'ELOOP') throw notRegular(name)
    throw error
  }
}

/** The folders on the way are ours, or the transfer's: never somebody's link to elsewhere. */
async function refuseLinks(layout: Layout, ref: AssetRef): Promise<void> {
  for (const path of [join(layout.stagingRoot, ref.videoId), layout.staged(ref)]) {
    try {
      if (!(await lstat(path)).isDirectory()) throw notRegular(`staging/${refKey(ref)}`)
    } catch (error) {
      if (errorCode(error) === 'ENOENT') throw missingFile(ASSET_JSON)
      throw error
    }
  }
}

async function sealFolder(folder: string): Promise<void> {
  const json = await open(join(folder, ASSET_JSON), 'r')
  try {
    await json.chmod(0o444)
    await json.sync()
  } finally {
    await json.close()
  }
  await chmod(folder, 0o755)
  await syncFolder(folder)
}
