import { readdir, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'

export interface DiskUse {
  entries: number
  /** Files of running fills, or left over from some. */
  tmp: number
  /** What both kinds take, in the file system's blocks. */
  bytes: number
}

const ENTRY = new RegExp(`${sep}[0-9a-f]{2}${sep}[^${sep}]+$`)
const TMP = new RegExp(`${sep}tmp${sep}[^${sep}]+$`)

/** What lies in a cache folder of whatever format: entries under folders of two hex digits, fills under `tmp`. */
export async function diskUse(cachePath: string): Promise<DiskUse> {
  const use: DiskUse = { entries: 0, tmp: 0, bytes: 0 }
  for (const file of await readdir(cachePath, { recursive: true, withFileTypes: true })) {
    const path = join(file.parentPath, file.name)
    const kind = ENTRY.test(path) ? 'entries' : TMP.test(path) ? 'tmp' : undefined
    if (!file.isFile() || !kind) continue
    const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
      // Evicted, or renamed, since the folder was read.
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (!info) continue
    use[kind]++
    use.bytes += info.blocks * 512
  }
  return use
}
