import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Asset } from '@millrace/common/contracts/asset'
import { z } from 'zod'
import { ifPresent, renameDurably, syncFolder, writeDurably } from './durable.js'
import { type AssetRef, HELD_JSON, type Layout, LIVE, MANIFESTS, VOD_JSON } from './layout.js'
import { renderVodJson } from './vod-json.js'

/** What the inventory needs to know of an asset without reading its `asset.json`: `held.json` in its map folder. */
export const heldRecordSchema = z.object({
  version: z.literal(1),
  assetSha256: z.string(),
  bytes: z.number().int().nonnegative(),
  committedAt: z.iso.datetime(),
})
export type HeldRecord = z.infer<typeof heldRecordSchema>

/** Text by file name. */
export type Manifests = Record<string, string>

/**
 * Makes a committed asset visible: its map folder appears by one rename, with the `live` marker in it. So a map folder without the
 * marker was always made so on purpose (quarantine, delete), never by a crash.
 */
export async function publish(layout: Layout, ref: AssetRef, asset: Asset, manifests: Manifests, record: HeldRecord): Promise<void> {
  await mkdir(layout.stateTmp, { recursive: true })
  const folder = await mkdtemp(join(layout.stateTmp, 'map-'))
  try {
    await mkdir(join(folder, MANIFESTS))
    for (const [name, text] of Object.entries(manifests)) {
      await writeDurably(join(folder, MANIFESTS, name), text)
    }
    await syncFolder(join(folder, MANIFESTS))
    await writeDurably(join(folder, VOD_JSON), renderVodJson(asset, layout.asset(ref)))
    await writeDurably(join(folder, HELD_JSON), `${JSON.stringify(record)}\n`)
    await writeDurably(join(folder, LIVE), '')
    await syncFolder(folder)
    await unpublish(layout, ref)
    await renameDurably(folder, layout.map(ref))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Takes an asset out of sight at once, and for good: the marker that every answer tests is gone also after a power cut. */
export async function hide(layout: Layout, ref: AssetRef): Promise<void> {
  await rm(layout.live(ref), { force: true })
  await ifPresent(syncFolder(layout.map(ref)))
}

/** Out of sight, then the rest of its map folder. */
export async function unpublish(layout: Layout, ref: AssetRef): Promise<void> {
  await hide(layout, ref)
  const gone = join(layout.stateTmp, `gone-${randomUUID()}`)
  await ifPresent(rename(layout.map(ref), gone))
  await rm(gone, { recursive: true, force: true })
}
