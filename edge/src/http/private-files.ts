import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** In memory, so that a key doesn't come to lie on a disk on the way. */
const SHARED_MEMORY = '/dev/shm'

/**
 * Lends texts as files of a folder that is this user's alone, for a library that only takes paths and reads them at once.
 *
 * @param use gets the path of each text; nothing is left of them when it returns
 */
export function withPrivateFiles<N extends string, T>(texts: Record<N, string>, use: (paths: Record<N, string>) => T): T {
  const folder = mkdtempSync(join(existsSync(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir(), 'millrace-edge-'))
  try {
    const paths = { ...texts }
    for (const name of Object.keys(texts) as N[]) {
      paths[name] = join(folder, name)
      writeFileSync(paths[name], texts[name], { mode: 0o600, flag: 'wx' })
    }
    return use(paths)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
