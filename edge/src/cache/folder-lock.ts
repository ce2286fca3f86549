import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { MillraceError } from '@millrace/common/errors'

const RETRY_MS = 50

/**
 * Keeps other processes of this host from a cache folder: a listening socket in Linux's abstract namespace, named by the folder's device
 * and inode. The kernel frees the name with the process, so a kill -9 leaves no stale lock behind and no process id is guessed at. (Two
 * network namespaces don't see each other's names.)
 *
 * @param waitMs how long a predecessor that is just dying is waited for
 * @returns what releases it.
 * @throws MillraceError `cache-in-use`
 */
export async function lockFolder(path: string, waitMs: number): Promise<() => Promise<void>> {
  const { dev, ino } = await stat(path, { bigint: true })
  const name = `\0millrace-cache-${dev}-${ino}`
  for (let waited = 0; ; waited += RETRY_MS) {
    const server = createServer((socket) => socket.destroy())
    server.unref()
    try {
      server.listen({ path: name })
      await once(server, 'listening')
      return async () => {
        server.close()
        await once(server, 'close')
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      if (waited >= waitMs) throw inUse(path, error)
    }
    await delay(RETRY_MS)
  }
}

function inUse(path: string, cause: unknown): MillraceError {
  return new MillraceError(`another process uses the cache folder ${path}`, {
    code: 'cache-in-use',
    source: 'disk',
    retryable: false,
    cause,
  })
}
