import { lstatSync, type Stats } from 'node:fs'
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

/** Times of files come from a clock that ticks coarsely. */
const CLOCK_SLACK_MS = 1000

/**
 * Whose entry a file is. `own`: this disk's; `guest`: of another disk that took it in while that one was out, and that has not shown yet
 * that it works again; `stranger`: of another disk that works.
 */
export type Place = 'own' | 'guest' | 'stranger'

/** The disk as a scan needs it. */
export interface ScanTarget {
  layout: DiskLayout
  index: DiskIndex
  /** Whether the index has its order from a checkpoint; else the files' times give one. */
  ordered: boolean
  /** When that checkpoint was begun, for the first scan after it was read; Unix milliseconds. */
  changedSince: number | undefined
  /** What was used or came in since the scan began, where the files' times give the order. */
  usedMeanwhile: Iterable<IndexKey>
  place(hash: string): Place
  /** Whether its file is just being written, replaced or deleted. */
  busy(key: IndexKey): boolean
  /** Whether a file in tmp is being written. */
  isRunning(path: string): boolean
  /** Deletes the file of a stranger. */
  expel(key: IndexKey): void
  /** What is no entry could not be deleted: that harms nobody. */
  strayFault(error: unknown): void
  shardDone(shard: number): void
  stopped(): boolean
}

/**
 * Makes index and folders agree, while both are in use: unknown files become the most recently used entries, entries without a file are
 * forgotten, and what is no entry, or a stranger, is deleted. Names and sizes suffice: headers are checked when an entry is opened.
 * Only unknown files are asked for their size, and those that may have been replaced after the checkpoint: in folders that changed since.
 */
export async function reconcile(target: ScanTarget): Promise<void> {
  const { layout } = target
  const pause = pauses()
  await removeForeign(target)
  await removeStray(target, layout.outdated)
  const known = await knownByShard(target.index, pause)
  const times = new Times()
  for (let shard = 0; shard < SHARDS && !target.stopped(); shard++) {
    await scanShard(target, shard, known[shard]!, times, pause)
    known[shard] = []
    target.shardDone(shard)
    await pause()
  }
  if (target.ordered) return
  for (const keys of [times.oldestFirst(), target.usedMeanwhile])
    for (const key of keys) {
      target.index.touch(key)
      await pause()
    }
}

async function removeForeign(target: ScanTarget): Promise<void> {
  const { layout, isRunning } = target
  for (const name of await readdir(layout.root)) {
    const path = join(layout.root, name)
    if (path === layout.tmp || path === layout.index) continue
    if (!SHARD.test(name) || !(await lstat(path)).isDirectory()) await removeStray(target, path)
  }
  for (const name of await readdir(layout.tmp)) {
    const path = join(layout.tmp, name)
    if (!isRunning(path)) await removeStray(target, path)
  }
}

async function removeStray({ strayFault }: ScanTarget, path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch(strayFault)
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
  const changed = await changedAfter(folder, target.changedSince)
  const asked: string[] = []
  for (const file of await namesIn(folder)) {
    if (!KEY_HASH.test(file) || !file.startsWith(name)) {
      await removeStray(target, join(folder, file))
      continue
    }
    const key = toIndexKey(file)
    present.add(key)
    if (target.busy(key)) continue
    if (target.place(file) === 'stranger') target.expel(key)
    else if (changed || !index.has(key)) asked.push(file)
    await pause()
  }
  for (const key of known) {
    if (!present.has(key) && index.has(key)) forgetMissing(target, key)
  }
  for (let at = 0; at < asked.length; at += STATS_AT_ONCE) {
    await Promise.all(asked.slice(at, at + STATS_AT_ONCE).map((hash) => askFile(target, hash, times)))
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

/** Whether something came into the folder since then, as by a rename. */
async function changedAfter(folder: string, since: number | undefined): Promise<boolean> {
  if (since === undefined) return false
  const info = await infoOf(folder)
  return info !== undefined && info.mtimeMs >= since - CLOCK_SLACK_MS
}

/** @returns undefined when it was deleted meanwhile */
async function infoOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function askFile(target: ScanTarget, hash: string, times: Times): Promise<void> {
  const { layout, index, busy, changedSince } = target
  const path = entryPath(layout.root, hash)
  const info = await infoOf(path)
  const key = toIndexKey(hash)
  if (!info || busy(key)) return
  const blocks = diskBlocks(info.size)
  if (index.has(key)) {
    // Replaced after the checkpoint: its place in the order is that of a new one.
    if (changedSince !== undefined && info.ctimeMs >= changedSince - CLOCK_SLACK_MS && index.blocksOf(key) !== blocks)
      index.add(key, blocks)
    return
  }
  if (!info.isFile() || info.size < HEADER_BYTES) return removeStray(target, path)
  times.note(key, info.mtimeMs)
  index.add(key, blocks)
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
