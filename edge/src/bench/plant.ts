import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { parseMediaPath } from '@millrace/common/contracts/media-url'
import { diskLayout } from '../cache/disk-layout.js'
import { encodeEntryHeader } from '../cache/entry-header.js'
import { cacheKey } from '../cache/key.js'
import { bytesOf } from '../harness/told-bytes.js'

/** Of each planted object. */
export const PLANTED_BYTES = 2048
const YEAR_MS = 365 * 86_400_000

/** What an edge would have on its disk after it has served this path. The one place that knows the format of the disk. */
export function storedFile(cachePath: string, path: string, now: number): { file: string; bytes: Buffer } {
  if (!parseMediaPath(path)) throw new RangeError(`not a media path: ${path}`)
  const header = encodeEntryHeader({
    path,
    contentType: 'video/mp4',
    etag: '"planted"',
    length: PLANTED_BYTES,
    bornAt: now,
    freshUntil: now + YEAR_MS,
    origin: 'o1',
  })
  return { file: diskLayout(cachePath).entry(cacheKey(path).hash), bytes: Buffer.concat([header, bytesOf(path, PLANTED_BYTES)]) }
}

/** Fills a cache folder while no edge has it open: by one process, faster than through an edge, and the same every time. */
export async function plant(cachePath: string, paths: Iterable<string>, onProgress: (count: number) => void): Promise<void> {
  const now = Date.now()
  const folders = new Set<string>()
  let count = 0
  for (const path of paths) {
    const { file, bytes } = storedFile(cachePath, path, now)
    const folder = dirname(file)
    if (!folders.has(folder)) {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      folders.add(folder)
    }
    writeFileSync(file, bytes, { mode: 0o600 })
    if (++count % 100_000 === 0) {
      onProgress(count)
      // Signals are seen between these.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}
