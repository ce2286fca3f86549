import type { Stats } from 'node:fs'
import { type FileHandle, lstat, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { MillraceError } from '@millrace/common/errors'
import { BLOCK_BYTES } from './body.js'
import { isMissing } from './disk-errors.js'
import { type CacheDisk, Disks, diskLayout, SHARD } from './disks.js'
import { BODY_OFFSET, decodeHeader, decodeTable, fileBytes, HEADER_BYTES, tableOffset } from './entry-format.js'
import { lockFolder } from './folder-lock.js'
import { cacheKey, KEY_HASH } from './key.js'

/**
 * What can be wrong. `header`, `size`, `table`, `block`: the file is torn or its bytes changed; `name`: it is the entry of another key;
 * `misplaced`: the disk is not the one for its key; `unreadable`: the disk gives an error; `tmp`: a writer that didn't end; `stray`: not a
 * file of the cache.
 */
export const DAMAGES = ['header', 'size', 'table', 'block', 'name', 'misplaced', 'unreadable', 'tmp', 'stray'] as const
export type Damage = (typeof DAMAGES)[number]

const MAX_LISTED = 100
const PROGRESS_MS = 2000
const FILES_AT_ONCE = 4

export interface FsckReport {
  disks: string[]
  /** Whole entries. */
  entries: number
  /** What the whole entries' files hold. */
  bytes: number
  damaged: Record<Damage, number>
  damagedBytes: number
  /** Files deleted. */
  repaired: number
  /** The first hundred. */
  listed: { path: string; damage: Damage }[]
  /** Disks whose cache is being used by another process: running writers are no damage there. */
  inUse: string[]
}

export interface FsckOptions {
  /** Deletes what is damaged: a cache fetches it again. */
  repair?: boolean
  /** Called every 2 s. */
  onProgress?: (soFar: Readonly<FsckReport>) => void
}

/**
 * Reads every byte of the cache and checks it.
 *
 * @throws MillraceError `cache-in-use` with `repair` when an edge has one of the folders open
 */
export async function fsck(disks: readonly CacheDisk[], options: FsckOptions = {}): Promise<FsckReport> {
  const check = new Check(disks, options)
  const unlock: (() => Promise<void>)[] = []
  const progress = setInterval(() => options.onProgress?.(check.report), PROGRESS_MS)
  try {
    for (const { path } of disks) {
      const locked = await lockUnlessUsed(path, options.repair ?? false)
      if (locked) unlock.push(locked)
      else check.report.inUse.push(path)
    }
    for (let number = 0; number < disks.length; number++) await check.disk(number)
    return check.report
  } finally {
    clearInterval(progress)
    for (const free of unlock) await free()
  }
}

export function isClean(report: FsckReport): boolean {
  return DAMAGES.every((damage) => report.damaged[damage] === 0)
}

async function lockUnlessUsed(path: string, must: boolean): Promise<(() => Promise<void>) | undefined> {
  try {
    return await lockFolder(path, 0)
  } catch (error) {
    // A cache that was never used is clean.
    if (isMissing(error)) return async () => {}
    if (must || !(error instanceof MillraceError && error.code === 'cache-in-use')) throw error
    return undefined
  }
}

class Check {
  readonly report: FsckReport
  readonly #disks: readonly CacheDisk[]
  readonly #places: Disks
  readonly #repair: boolean
  readonly #buffers = Array.from({ length: FILES_AT_ONCE }, () => Buffer.allocUnsafe(BLOCK_BYTES))

  constructor(disks: readonly CacheDisk[], options: FsckOptions) {
    this.#disks = disks
    this.#places = new Disks(disks)
    this.#repair = options.repair ?? false
    this.report = {
      disks: disks.map(({ path }) => path),
      entries: 0,
      bytes: 0,
      damaged: Object.fromEntries(DAMAGES.map((damage) => [damage, 0])) as Record<Damage, number>,
      damagedBytes: 0,
      repaired: 0,
      listed: [],
      inUse: [],
    }
  }

  async disk(number: number): Promise<void> {
    const layout = diskLayout(this.#disks[number]!.path)
    const live = this.report.inUse.includes(this.#disks[number]!.path)
    for (const name of await namesIn(layout.root)) {
      const path = join(layout.root, name)
      if (path === layout.index) continue
      const info = await infoOf(path)
      if (!info) continue
      if (path === layout.tmp && info.isDirectory()) {
        if (!live) for (const file of await namesIn(path)) await this.#damaged(join(path, file), 'tmp')
      } else if (SHARD.test(name) && info.isDirectory()) {
        await this.#shard(path, name, number)
      } else {
        await this.#damaged(path, 'stray')
      }
    }
  }

  async #shard(folder: string, shard: string, number: number): Promise<void> {
    const names = (await namesIn(folder)).values()
    await Promise.all(
      this.#buffers.map(async (buffer) => {
        for (const name of names) await this.#file(folder, shard, name, number, buffer)
      }),
    )
  }

  async #file(folder: string, shard: string, name: string, number: number, buffer: Buffer): Promise<void> {
    const path = join(folder, name)
    const info = await infoOf(path)
    if (!info) return
    if (!info.isFile() || !KEY_HASH.test(name) || !name.startsWith(shard)) return this.#damaged(path, 'stray')
    if (this.#places.number(name) !== number) return this.#damaged(path, 'misplaced')
    let finding = await checkEntry(path, name, buffer)
    // A running edge may just have been writing its header again.
    if (finding !== 'whole' && this.report.inUse.length > 0) finding = await checkEntry(path, name, buffer)
    if (finding === 'gone') return
    if (finding !== 'whole') return this.#damaged(path, finding)
    this.report.entries++
    this.report.bytes += info.size
  }

  async #damaged(path: string, damage: Damage): Promise<void> {
    const info = await infoOf(path)
    if (!info) return
    this.report.damaged[damage]++
    this.report.damagedBytes += info.size
    if (this.report.listed.length < MAX_LISTED) this.report.listed.push({ path, damage })
    if (!this.#repair) return
    await rm(path, { recursive: true, force: true })
    this.report.repaired++
  }
}

/** @param buffer to read with, of BLOCK_BYTES */
async function checkEntry(path: string, name: string, buffer: Buffer): Promise<Damage | 'whole' | 'gone'> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    return isMissing(error) ? 'gone' : 'unreadable'
  }
  try {
    return await checkContent(file, name, buffer)
  } catch {
    // Which error a broken disk gave changes nothing: the file is named in the report.
    return 'unreadable'
  } finally {
    await file.close()
  }
}

async function checkContent(file: FileHandle, name: string, buffer: Buffer): Promise<Damage | 'whole'> {
  const header = decodeHeader(await readInto(buffer, file, 0, HEADER_BYTES))
  if (!header) return 'header'
  const { key, length } = header.meta
  if (cacheKey(key).hash !== name) return 'name'
  const { size } = await file.stat()
  if (size !== fileBytes(length)) return 'size'
  const checksums = decodeTable(await readInto(Buffer.allocUnsafe(size - tableOffset(length)), file, tableOffset(length), size), header)
  if (!checksums) return 'table'
  for (let block = 0; block < checksums.length; block++) {
    const at = block * BLOCK_BYTES
    const bytes = await readInto(buffer, file, BODY_OFFSET + at, Math.min(BLOCK_BYTES, length - at))
    if (crc32(bytes) !== checksums[block]) return 'block'
  }
  return 'whole'
}

/** As much of `length` bytes as there is. @returns a view of the buffer */
async function readInto(buffer: Buffer, file: FileHandle, position: number, length: number): Promise<Buffer> {
  const wanted = Math.min(length, buffer.length)
  let filled = 0
  while (filled < wanted) {
    const { bytesRead } = await file.read(buffer, filled, wanted - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

async function infoOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
