import { lstatSync } from 'node:fs'
import { lstat, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as immediate } from 'node:timers/promises'
import { type DiskLayout, entryPath, SHARD } from './disks.js'
import { diskBlocks, HEADER_BYTES } from './entry-format.js'
import { type DiskIndex, type IndexKey, toHash, toIndexKey } from './index.js'
import { KEY_HASH } from './key.js'

export const SHARDS = 256
const SLICE_MS = 10
const WALK_SLICE = 5000
const STATS_AT_ONCE = 32

/** The disk as a scan needs it. */
export interface ScanTarget {
  layout: DiskLayout
  index: DiskIndex
  /** Whether the index has its order from a checkpoint; else the files' times give one. */
  ordered: boolean
  /** Whether this disk is the one for the hash. */
  belongs(hash: string): boolean
  /** Whether its file is just being written, replaced or deleted. */
  busy(key: IndexKey): boolean
  /** Whether a file in tmp is being written. */
  isRunning(path: string): boolean
  /** Deletes the file of an entry that doesn't belong here. */
  expel(key: IndexKey): void
  shardDone(shard: number): void
  stopped(): boolean
}

/**
 * Makes index and folders agree, while both are in use: unknown files become the most recently used entries, entries without a file are
 * forgotten, and what is no entry, or not this disk's, is deleted. Names and sizes suffice: headers are checked when an entry is opened.
 * Only unknown files are asked for their size; the disk is left alone otherwise.
 */
export async function reconcile(target: ScanTarget): Promise<void> {
  const { layout } = target
  const pause = pauses()
  await removeForeign(target)
  await rm(layout.outdated, { recursive: true, force: true })
  const known = await knownByShard(target.index, pause)
  const times = new Times()
  for (let shard = 0; shard < SHARDS && !target.stopped(); shard++) {
    await scanShard(target, shard, known[shard]!, times, pause)
    known[shard] = []
    target.shardDone(shard)
    await pause()
  }
  if (target.ordered) return
  for (const key of times.oldestFirst()) {
    target.index.touch(key)
    await pause()
  }
}

async function removeForeign({ layout, isRunning }: ScanTarget): Promise<void> {
  for (const name of await readdir(layout.root)) {
    const path = join(layout.root, name)
    if (path === layout.tmp || path === layout.index) continue
    if (!SHARD.test(name) || !(await lstat(path)).isDirectory()) await rm(path, { recursive: true, force: true })
  }
  for (const name of await readdir(layout.tmp)) {
    const path = join(layout.tmp, name)
    if (!isRunning(path)) await rm(path, { recursive: true, force: true })
  }
}

async function knownByShard(index: DiskIndex, pause: () => Promise<void>): Promise<IndexKey[][]> {
  const known: IndexKey[][] = Array.from({ length: SHARDS }, () => [])
  const walk = index.walk((key) => known[key.charCodeAt(0)]!.push(key))
  try {
    while (walk.next(WALK_SLICE)) await pause()
  } finally {
    walk.stop()
  }
  return known
}

async function scanShard(
  target: ScanTarget,
  shard: number,
  known: readonly IndexKey[],
  times: Times,
  pause: () => Promise<void>,
): Promise<void> {
  const { layout, index } = target
  const name = shard.toString(16).padStart(2, '0')
  const folder = join(layout.root, name)
  const present = new Set<IndexKey>()
  const unknown: string[] = []
  for (const file of await namesIn(folder)) {
    if (!KEY_HASH.test(file) || !file.startsWith(name)) {
      await rm(join(folder, file), { recursive: true, force: true })
      continue
    }
    const key = toIndexKey(file)
    present.add(key)
    if (target.busy(key)) continue
    if (!target.belongs(file)) target.expel(key)
    else if (!index.has(key)) unknown.push(file)
    await pause()
  }
  for (const key of known) {
    if (!present.has(key) && index.has(key)) forgetMissing(target, key)
  }
  for (let at = 0; at < unknown.length; at += STATS_AT_ONCE) {
    await Promise.all(unknown.slice(at, at + STATS_AT_ONCE).map((hash) => addFound(target, hash, times)))
    await pause()
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

async function addFound({ layout, index, busy }: ScanTarget, hash: string, times: Times): Promise<void> {
  const path = entryPath(layout.root, hash)
  let info: Awaited<ReturnType<typeof lstat>>
  try {
    info = await lstat(path)
  } catch (error) {
    // Deleted meanwhile.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  const key = toIndexKey(hash)
  if (busy(key)) return
  if (!info.isFile() || info.size < HEADER_BYTES) {
    await rm(path, { recursive: true, force: true })
    return
  }
  times.note(key, info.mtimeMs)
  if (!index.has(key)) index.add(key, diskBlocks(info.size))
}

/** It may have come in after the folder was listed. Asked synchronously, so that nothing happens between the answer and its use. */
function forgetMissing({ layout, index, busy }: ScanTarget, key: IndexKey): void {
  if (busy(key) || lstatSync(entryPath(layout.root, toHash(key)), { throwIfNoEntry: false })) return
  index.left(index.remove(key))
}

/** Files by age, in little memory: seconds and place in one number each. */
class Times {
  readonly #keys: IndexKey[] = []
  readonly #packed: number[] = []

  note(key: IndexKey, mtimeMs: number): void {
    const seconds = Math.min(Math.max(Math.floor(mtimeMs / 1000) - 1_500_000_000, 0), 2 ** 29 - 1)
    this.#packed.push(seconds * 2 ** 24 + this.#keys.length)
    this.#keys.push(key)
  }

  *oldestFirst(): Generator<IndexKey> {
    for (const packed of Float64Array.from(this.#packed).sort()) yield this.#keys[packed % 2 ** 24]!
  }
}

/** Lets others run when a slice of time is used up. */
function pauses(): () => Promise<void> {
  let end = performance.now() + SLICE_MS
  return async () => {
    if (performance.now() < end) return
    await immediate()
    end = performance.now() + SLICE_MS
  }
}
