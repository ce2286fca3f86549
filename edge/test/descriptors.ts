import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readdirSync } from 'node:fs'

/** Descriptors of this process that are open now. */
export function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd')
}

/** Runs `work` while nothing more can be opened in this process (EMFILE). */
export async function withoutDescriptors<T>(work: () => Promise<T>): Promise<T> {
  const limit = (soft: number | string) => execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${soft}:`])
  const [before] = execFileSync('prlimit', ['--pid', String(process.pid), '--nofile', '--noheadings', '--raw', '-o', 'SOFT'], {
    encoding: 'utf8',
  }).split('\n')
  limit(Math.max(...openDescriptors().map(Number)) + 50)
  const taken: number[] = []
  try {
    try {
      for (;;) taken.push(openSync('/dev/null', 'r'))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error
    }
    return await work()
  } finally {
    for (const fd of taken) closeSync(fd)
    limit(before!)
  }
}
