import { rm } from 'node:fs/promises'
import type { Asset } from '@millrace/common/contracts/asset'
import type { Packager } from '../packager/packager.js'
import { type CollectOptions, collect } from './collect.js'
import { discard } from './discard.js'
import { renameDurably } from './durable.js'
import type { AssetRef, Layout } from './layout.js'
import { renderManifests } from './manifests.js'
import { type HeldRecord, type Manifests, publish } from './publish.js'
import { readAssetJson, readOwnAssetJson, verifyFile } from './verify.js'

export interface CommitDeps {
  layout: Layout
  packager: Packager
  now: () => Date
}

/**
 * Staging → verified → packable → in place → visible. Each step leaves either nothing or something that a repeated commit, or the
 * recovery at the next start, finishes; what the packager refuses never gets to its place.
 */
export async function commit(deps: CommitDeps, ref: AssetRef, assetSha256: string, options: CollectOptions): Promise<HeldRecord> {
  const { layout, packager } = deps
  const { folder, asset } = await collect(layout, ref, assetSha256, options)
  let manifests: Manifests
  try {
    manifests = await makeManifests(packager, folder, asset)
    options.signal.throwIfAborted()
    // Whatever lies there without being an asset (a damaged one that the start found) goes only now that there is a better one.
    await discard(layout, layout.asset(ref))
    await renameDurably(folder, layout.asset(ref))
  } finally {
    packager.forget(folder)
    await rm(folder, { recursive: true, force: true })
  }
  const record = heldRecord(asset, assetSha256, deps.now())
  await publish(layout, ref, asset, manifests, record)
  return record
}

/** A commit of what lies in its place already but isn't served: every byte is judged again, then it's made visible. */
export async function recommit(deps: CommitDeps, ref: AssetRef, assetSha256: string, options: CollectOptions): Promise<HeldRecord> {
  const { layout, packager } = deps
  const folder = layout.asset(ref)
  const asset = await readAssetJson(folder, ref, assetSha256)
  options.onTotal(totalBytes(asset))
  for (const file of asset.files) await verifyFile(folder, file, options)
  const record = heldRecord(asset, assetSha256, deps.now())
  await publish(layout, ref, asset, await makeManifests(packager, folder, asset), record)
  return record
}

/** After a crash between the rename and the publishing: the files were verified before they got their place. */
export async function completePublishing(deps: CommitDeps, ref: AssetRef): Promise<HeldRecord> {
  const folder = deps.layout.asset(ref)
  const { asset, sha256 } = await readOwnAssetJson(folder, ref)
  const record = heldRecord(asset, sha256, deps.now())
  await publish(deps.layout, ref, asset, await makeManifests(deps.packager, folder, asset), record)
  return record
}

async function makeManifests(packager: Packager, folder: string, asset: Asset): Promise<Manifests> {
  return renderManifests(asset, await packager.segmentDurations(folder, asset)).files
}

function heldRecord(asset: Asset, assetSha256: string, now: Date): HeldRecord {
  return { version: 1, assetSha256, bytes: totalBytes(asset), committedAt: now.toISOString() }
}

function totalBytes(asset: Asset): number {
  return asset.files.reduce((sum, file) => sum + file.bytes, 0)
}
