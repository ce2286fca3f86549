import { readdirSync, readFileSync } from 'node:fs'

/** What proc(5) tells of running processes. A process that ends while it is looked at counts as gone, not as an error. */

/** In USER_HZ, which is 100 on every Linux that Node.js runs on. */
const TICKS_PER_SECOND = 100

/** A process and all its descendants, ancestors first; empty when it is gone. */
export function processTree(pid: number): number[] {
  const children = new Map<number, number[]>()
  let found = false
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const fields = statFields(Number(name))
    if (!fields || fields[0] === 'Z') continue
    if (Number(name) === pid) found = true
    const siblings = children.get(Number(fields[1]))
    if (siblings) siblings.push(Number(name))
    else children.set(Number(fields[1]), [Number(name)])
  }
  const tree = found ? [pid] : []
  for (const parent of tree) tree.push(...(children.get(parent) ?? []))
  return tree
}

/** Whether it runs; a zombie does not. */
export function isRunning(pid: number): boolean {
  const fields = statFields(pid)
  return fields !== undefined && fields[0] !== 'Z'
}

/** CPU time that these processes have used, user and system, all threads; a thread or process that is gone has taken its time along. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0
  for (const pid of pids) {
    const fields = statFields(pid)
    if (fields) ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks / TICKS_PER_SECOND
}

/** Resident bytes; undefined when it is gone. */
export function residentBytes(pid: number): number | undefined {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`) ?? '')
  return line ? Number(line[1]) * 1024 : undefined
}

/** Open descriptors; undefined when it is gone. */
export function openFiles(pid: number): number | undefined {
  return gone(() => readdirSync(`/proc/${pid}/fd`).length)
}

/** Its title where it has set one, else its arguments joined by blanks; undefined when it is gone. */
export function commandLine(pid: number): string | undefined {
  return read(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ').trim()
}

/** The fields of proc_pid_stat(5) from `state` (field 3) on: the name before them may hold anything. */
function statFields(pid: number): string[] | undefined {
  const stat = read(`/proc/${pid}/stat`)
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
}

function read(path: string): string | undefined {
  return gone(() => readFileSync(path, 'utf8'))
}

function gone<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
}
