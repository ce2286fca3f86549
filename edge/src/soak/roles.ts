import { commandLine } from '../harness/proc.js'

/** What a process of the edge is for. `edge`: the first one, which all others come from; all of it where there is one worker. */
export type Role = 'edge' | 'worker' | 'keeper'

/** By the title that it has given itself. */
export function roleOf(title: string): Role {
  const match = /\b(worker|keeper)\b/.exec(title.startsWith('millrace-edge') ? title : '')
  return (match?.[1] as Role | undefined) ?? 'edge'
}

/** @returns the role of each of these processes that still runs. */
export function rolesOf(pids: readonly number[], titleOf: (pid: number) => string | undefined = commandLine): Map<number, Role> {
  const roles = new Map<number, Role>()
  for (const pid of pids) {
    const title = titleOf(pid)
    if (title !== undefined) roles.set(pid, roleOf(title))
  }
  return roles
}
