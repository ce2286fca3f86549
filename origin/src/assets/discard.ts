import { randomUUID } from 'node:crypto'
import { mkdir, rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errorCode, ifPresent, namesIn } from './durable.js'
import type { Layout } from './layout.js'

/**
 * Takes a folder out of its place with one rename; its bytes go when the trash is emptied. A transfer that is still writing into it goes
 * on in the trash and harms nobody.
 */
export async function discard(layout: Layout, path: string): Promise<void> {
  await mkdir(layout.trash, { recursive: true })
  await ifPresent(rename(path, join(layout.trash, randomUUID())))
  await removeIfEmpty(dirname(path))
}

/** @throws what kept a folder from going, after trying all of them. */
export async function emptyTrash(layout: Layout): Promise<void> {
  const results = await Promise.allSettled(
    (await namesIn(layout.trash)).map((name) => rm(join(layout.trash, name), { recursive: true, force: true, maxRetries: 3 })),
  )
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}

async function removeIfEmpty(path: string): Promise<void> {
  try {
    await rmdir(path)
  } catch (error) {
    const code = errorCode(error)
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOENT') throw error
  }
}
