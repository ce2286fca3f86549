import { join } from 'node:path'

/** The format's version is in the path: another format is another tree, and an old one is no danger to it. */
export interface DiskLayout {
  /** `<path>/v1`. */
  root: string
  /** Bodies that are still coming in; nothing here outlives a start. */
  tmp: string
  /** `<path>/v1/<first two digits>/<hash>`: 256 folders. */
  entry: (hash: string) => string
}

export const SHARD = /^[0-9a-f]{2}$/
const BLOCK = 4096

export function diskLayout(path: string): DiskLayout {
  const root = join(path, 'v1')
  return { root, tmp: join(root, 'tmp'), entry: (hash) => join(root, hash.slice(0, 2), hash) }
}

/** What a file of this many bytes takes on disk: whole blocks. */
export function diskBytes(fileBytes: number): number {
  return Math.ceil(fileBytes / BLOCK) * BLOCK
}
