import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'

export interface ChildOptions {
  /** For messages. */
  name: string
  command: string
  args: readonly string[]
  /** Where its output goes, both streams, at the end of what is there. */
  logFile: string
  /** The core that it and its children run on; any when absent. */
  core?: number
  env?: Record<string, string>
}

export interface Child {
  readonly name: string
  readonly pid: number
  /** Resolves when it has ended, for whatever reason. */
  readonly exited: Promise<Exit>
  /** SIGTERM, and SIGKILL when that didn't end it in time. */
  stop(graceMs?: number): Promise<Exit>
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

/**
 * Starts a process that gets SIGTERM when this one dies: daemons with children of their own then end them, as SIGKILL would not let them.
 *
 * @throws when the command can't be started at all.
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const pinned = options.core === undefined ? [] : ['taskset', '-c', String(options.core)]
  const args = ['--pdeathsig', 'TERM', '--', ...pinned, options.command, ...options.args]
  const log = openSync(options.logFile, 'a')
  const child = spawn('setpriv', args, { stdio: ['ignore', log, log], env: { ...process.env, ...options.env } })
  closeSync(log)
  const exited = new Promise<Exit>((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('spawn', resolve)
  })
  return { name: options.name, pid: child.pid!, exited, stop: (graceMs = 15_000) => stop(child, exited, graceMs) }
}

async function stop(child: ChildProcess, exited: Promise<Exit>, graceMs: number): Promise<Exit> {
  child.kill('SIGTERM')
  const limit = setTimeout(() => child.kill('SIGKILL'), graceMs)
  try {
    return await exited
  } finally {
    clearTimeout(limit)
  }
}

/** The end of a log, for a message that says why something didn't start. */
export function lastLines(logFile: string, count = 5): string {
  return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-count).join('\n')
}
