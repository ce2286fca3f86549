import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readdirSync } from 'node:fs'

/** Descriptors of this process that are open now. */
export function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd')
}

/** Makes that nothing more can be opened in this process (EMFILE). @returns what ends that */
export function takeDescriptors(): () => void {
  const prlimit = (...args: string[]) => execFileSync('prlimit', ['--pid', String(process.pid), ...args], { encoding: 'utf8' })
  const before = prlimit('--nofile', '--noheadings', '--raw', '-o', 'SOFT').trim()
  prlimit(`--nofile=${Math.max(...openDescriptors().map(Number)) + 50}:`)
  const taken: number[] = []
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error
  }
  return () => {
    for (const fd of taken) closeSync(fd)
    prlimit(`--nofile=${before}:`)
  }
}

/** Runs `work` while nothing more can be opened in this process. */
export async function withoutDescriptors<T>(work: () => Promise<T>): Promise<T> {
  const giveBack = takeDescriptors()
  try {
    return await work()
  } finally {
    giveBack()
  }
}
