import { createHash } from 'node:crypto'
import { cp, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ASSET_JSON, type Asset } from '@millrace/common/contracts/asset'
import { attemptOf, newVideoId } from '@millrace/common/contracts/ids'
import type { AssetRef } from '../src/assets/layout.js'
import { GOLDEN, GOLDEN_ASSET, goldenAsset } from './golden.js'

/** A folder as a transcoder would send it: the golden media, a poster, and an `asset.json` about them. */
export interface PreparedAsset {
  ref: AssetRef
  folder: string
  asset: Asset
  /** Of the whole `asset.json`: what a commit names. */
  assetSha256: string
}

/** @param change is applied to `asset.json` before it's written: for assets that lie. */
export async function prepareAsset(
  parent: string,
  options: { ref?: AssetRef; change?: (asset: Asset) => void } = {},
): Promise<PreparedAsset> {
  const ref = options.ref ?? { videoId: newVideoId(), rev: 'r1' }
  const folder = join(parent, `${ref.videoId}-${ref.rev}`)
  await cp(GOLDEN_ASSET, folder, { recursive: true, filter: (path) => !path.endsWith('vod.json') })
  await writeFile(join(folder, 'poster.jpg'), 'not much of a picture')
  const poster = { role: 'poster' as const, name: 'poster.jpg', ...(await fileFacts(join(folder, 'poster.jpg'))) }
  const golden = goldenAsset()
  const asset: Asset = { ...golden, ...ref, attempt: attemptOf(ref.rev), files: [...golden.files, poster] }
  options.change?.(asset)
  return writeAssetJson({ ref, folder, asset, assetSha256: '' })
}

/** Writes `asset.json` as it now stands in memory. */
export async function writeAssetJson(prepared: PreparedAsset): Promise<PreparedAsset> {
  const text = JSON.stringify(prepared.asset)
  await writeFile(join(prepared.folder, ASSET_JSON), text)
  return { ...prepared, assetSha256: sha256(text) }
}

export async function fileFacts(path: string): Promise<{ bytes: number; sha256: string }> {
  return { bytes: (await stat(path)).size, sha256: sha256(await readFile(path)) }
}

export function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}

/** What nginx-vod-module answered for this media. */
export function goldenResponse(name: string): Promise<Buffer> {
  return readFile(join(GOLDEN, 'responses', 'dash', name))
}

export function goldenMedia(name: string): Promise<Buffer> {
  return readFile(join(GOLDEN_ASSET, name))
}
