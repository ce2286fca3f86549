import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type DiskLayout, SHARD } from './disk-layout.js'
import { HEADER_BYTES } from './entry-header.js'
import { KEY_HASH } from './key.js'

export interface FoundEntry {
  hash: string
  fileBytes: number
  /** Unix milliseconds: the later of last read (as far as the mount keeps it) and last write. */
  usedAt: number
}

/**
 * What a start finds on disk, least recently used first. Names and sizes suffice: headers are checked when an entry is opened. Makes the
 * folders, empties tmp, and removes whatever isn't an entry.
 */
export async function recover(layout: DiskLayout): Promise<FoundEntry[]> {
  await rm(layout.tmp, { recursive: true, force: true })
  await mkdir(layout.tmp, { recursive: true, mode: 0o700 })
  for (let shard = 0; shard < 256; shard++) {
    await mkdir(join(layout.root, shard.toString(16).padStart(2, '0')), { recursive: true, mode: 0o700 })
  }
  const found: FoundEntry[] = []
  for (const folder of await readdir(layout.root, { withFileTypes: true })) {
    if (folder.name === 'tmp') continue
    const path = join(layout.root, folder.name)
    if (!folder.isDirectory() || !SHARD.test(folder.name)) await rm(path, { recursive: true, force: true })
    else await scanShard(path, folder.name, found)
  }
  return found.sort((a, b) => a.usedAt - b.usedAt)
}

async function scanShard(path: string, shard: string, found: FoundEntry[]): Promise<void> {
  const names = await readdir(path)
  // One shard at a time bounds what is in flight.
  await Promise.all(
    names.map(async (name) => {
      const file = join(path, name)
      const info = await stat(file)
      if (info.isFile() && KEY_HASH.test(name) && name.startsWith(shard) && info.size >= HEADER_BYTES) {
        found.push({ hash: name, fileBytes: info.size, usedAt: Math.max(info.atimeMs, info.mtimeMs) })
      } else {
        await rm(file, { recursive: true, force: true })
      }
    }),
  )
}
