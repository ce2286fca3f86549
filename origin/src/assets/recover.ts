import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type CommitDeps, completePublishing } from './commit.js'
import { emptyTrash } from './discard.js'
import { ifPresent } from './durable.js'
import type { Inventory } from './inventory.js'
import { type AssetRef, HELD_JSON, type Layout } from './layout.js'
import { type HeldRecord, heldRecordSchema, unpublish } from './publish.js'
import { refsIn } from './walk.js'

export interface Recovery {
  held: number
  /** Committed but not yet visible when the agent died. */
  completed: AssetRef[]
  /** Visible without files: deletes that were cut short. */
  orphans: AssetRef[]
  /** Assets on disk that can't be served; a new commit replaces them. */
  damaged: { ref: AssetRef; error: unknown }[]
}

/** The start: makes the folders, removes what a crash left half-made, finishes what it left half-done, fills the inventory. */
export async function recover(deps: CommitDeps & { inventory: Inventory }): Promise<Recovery> {
  const { layout, inventory } = deps
  await rm(layout.tmp, { recursive: true, force: true })
  await rm(layout.stateTmp, { recursive: true, force: true })
  for (const path of [layout.stagingRoot, layout.assetsRoot, layout.tmp, layout.trash, layout.mapRoot, layout.stateTmp]) {
    await mkdir(path, { recursive: true })
  }
  await mkdir(layout.rsyncd, { recursive: true, mode: 0o700 })
  await emptyTrash(layout)

  const recovery: Recovery = { held: 0, completed: [], orphans: [], damaged: [] }
  for (const ref of await refsIn(layout.assetsRoot)) {
    try {
      const record = await readRecord(layout, ref)
      inventory.add(ref, record ?? (await completePublishing(deps, ref)))
      if (!record) recovery.completed.push(ref)
    } catch (error) {
      recovery.damaged.push({ ref, error })
    }
  }
  for (const ref of await refsIn(layout.mapRoot)) {
    if (inventory.get(ref)) continue
    await unpublish(layout, ref)
    recovery.orphans.push(ref)
  }
  recovery.held = inventory.size
  return recovery
}

async function readRecord(layout: Layout, ref: AssetRef): Promise<HeldRecord | undefined> {
  const text = await ifPresent(readFile(join(layout.map(ref), HELD_JSON), 'utf8'))
  if (text === undefined) return undefined
  try {
    return heldRecordSchema.parse(JSON.parse(text))
  } catch {
    // Unreadable is as good as missing: the record is made anew from asset.json.
    return undefined
  }
}
