import { execFileSync } from 'node:child_process'

/** Keeps this process off the core of what is measured, all its threads. */
export function pinThisProcess(core: number): void {
  execFileSync('taskset', ['-a', '-c', '-p', String(core), String(process.pid)], { stdio: 'ignore' })
}
