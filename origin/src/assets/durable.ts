import { mkdir, open, readdir, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Writes a new file and sees it to the disk. */
export async function writeDurably(path: string, content: string): Promise<void> {
  const file = await open(path, 'wx', 0o644)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Makes the names in a folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/**
 * Renames a folder to `<grandparent>/<parent>/<name>` and syncs the new names. The parent is made where it's missing; a delete that
 * removes the empty parent at the same moment is met by making it again.
 */
export async function renameDurably(from: string, to: string): Promise<void> {
  const parent = dirname(to)
  for (let attempt = 1; ; attempt++) {
    await mkdir(parent, { recursive: true })
    try {
      await rename(from, to)
      break
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' || attempt === 5) throw error
    }
  }
  await syncFolder(parent)
  await syncFolder(dirname(parent))
}

/** @returns the names in a folder, sorted; none where there is no folder. */
export async function namesIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort()
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}

/** Runs a file operation for which "nothing there" is as good as done. */
export async function ifPresent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
