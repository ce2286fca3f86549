import { once } from 'node:events'
import { MillraceError } from '@millrace/common/errors'
import { bound } from '@millrace/common/process'

const CONFLICT = 75

/**
 * An exclusive lock on a file: flock(2), held by a small child. The kernel frees it with the holder, so no stale lock survives a
 * kill -9 and no process id is guessed at. The child waits a moment for a predecessor that is just dying.
 *
 * @param onLost told if the holder dies while the lock should be held.
 * @throws MillraceError `database-in-use`
 */
export async function lockFile(path: string, onLost: (error: Error) => void): Promise<() => Promise<void>> {
  const holder = bound('flock', ['--no-fork', '--wait', '3', '--conflict-exit-code', String(CONFLICT), path, 'cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    reject: false,
    buffer: false,
    // A session of its own: a Ctrl-C in the terminal must not free the lock before this process has closed the database.
    detached: true,
  })
  const ended = holder.then((result) => result.exitCode)
  holder.stdin.on('error', () => {}) // its end is what counts, and that is watched
  // flock starts cat once it holds the lock: the echo is the proof.
  holder.stdin.write('held\n')
  const code = await Promise.race([once(holder.stdout, 'data').then(() => 'held' as const), ended])
  if (code !== 'held') {
    throw new MillraceError(code === CONFLICT ? `another process holds ${path}` : `cannot lock ${path}: flock ended with ${code}`, {
      code: code === CONFLICT ? 'database-in-use' : 'lock-failed',
      source: 'internal',
      retryable: false,
    })
  }
  let released = false
  void ended.then(() => {
    if (!released) onLost(new Error(`the lock on ${path} was lost`))
  })
  return async () => {
    released = true
    holder.stdin.end()
    await ended
  }
}
