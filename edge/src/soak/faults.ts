import { setTimeout as delay } from 'node:timers/promises'
import { until } from '@millrace/common/testing/until'
import type { EdgeProcess } from '../harness/edge-process.js'
import { pick } from '../harness/random.js'
import type { OriginProcess } from './origin-process.js'
import { type Role, rolesOf } from './roles.js'
import type { Troubles } from './trouble.js'

/** What a fault kills, always with SIGKILL. `edge-parent`: the first process alone; the others must see to themselves. */
export const FAULTS = ['worker', 'keeper', 'edge', 'edge-parent', 'origin', 'both-origins'] as const
export type Fault = (typeof FAULTS)[number]

export interface FaultDependencies {
  edge: EdgeProcess
  origins: readonly OriginProcess[]
  troubles: Troubles
  random: () => number
  say: (line: string) => void
}

/** How often each is drawn: workers die most. */
const WEIGHTS: Record<Fault, number> = { worker: 3, keeper: 2, edge: 1, 'edge-parent': 1, origin: 2, 'both-origins': 1 }

/** How long the edge may take to replace a process, and an operator to restart it. */
const REPLACED_MS = 20_000

/** Kills something every few seconds until told to stop; whatever died is back before the next. @returns how often each was done. */
export async function breakThings(dependencies: FaultDependencies, stop: AbortSignal): Promise<Record<Fault, number>> {
  const { random, say } = dependencies
  const done = nothingDone()
  for (;;) {
    await delay(2000 + random() * 4000, undefined, { signal: stop }).catch(() => undefined)
    if (stop.aborted) return done
    const fault = pick(possible(dependencies.edge), random)
    say(`kill -9: ${fault}`)
    await inflict(fault, dependencies)
    done[fault]++
  }
}

/** Kills each thing that can be killed once, in the order of `FAULTS`, half a second of peace before each. @returns how often each was done. */
export async function breakEachOnce(dependencies: FaultDependencies): Promise<Record<Fault, number>> {
  const done = nothingDone()
  for (const fault of new Set(possible(dependencies.edge))) {
    await delay(500)
    dependencies.say(`kill -9: ${fault}`)
    await inflict(fault, dependencies)
    done[fault]++
  }
  return done
}

function nothingDone(): Record<Fault, number> {
  return { worker: 0, keeper: 0, edge: 0, 'edge-parent': 0, origin: 0, 'both-origins': 0 }
}

/** What can be killed, each as often as it is to be drawn. Workers and keeper are processes of their own only where there are several. */
function possible(edge: EdgeProcess): Fault[] {
  const roles = [...rolesOf(edge.pids()).values()]
  const there = FAULTS.filter((fault) => (fault !== 'worker' && fault !== 'keeper') || roles.includes(fault))
  return there.flatMap((fault) => Array<Fault>(WEIGHTS[fault]).fill(fault))
}

async function inflict(fault: Fault, dependencies: FaultDependencies): Promise<void> {
  const { edge, origins, troubles, random } = dependencies
  const end = troubles.begin(fault === 'edge-parent' ? 'edge' : fault)
  try {
    if (fault === 'worker' || fault === 'keeper') await replaced(edge, fault, random)
    else if (fault === 'edge' || fault === 'edge-parent') await restarted(edge, fault === 'edge' ? 'all' : 'parent')
    else if (fault === 'both-origins') await outage(origins, random)
    else await outageOf(pick(origins, random), origins, random)
  } finally {
    end()
  }
}

/** @throws when the edge doesn't replace it, or takes more than it with it. */
async function replaced(edge: EdgeProcess, role: Role, random: () => number): Promise<void> {
  const before = rolesOf(edge.pids())
  const victims = [...before].filter(([, its]) => its === role).map(([pid]) => pid)
  const victim = pick(victims, random)
  process.kill(victim, 'SIGKILL')
  await until(
    `another ${role}`,
    () => {
      const now = rolesOf(edge.pids())
      return !now.has(victim) && [...now.values()].filter((its) => its === role).length === victims.length
    },
    REPLACED_MS,
  )
  await edge.ready(REPLACED_MS)
  const now = edge.pids()
  const others = [...before.keys()].filter((pid) => pid !== victim)
  const lost = others.filter((pid) => !now.includes(pid))
  if (lost.length > 0) throw new Error(`with a ${role} the edge lost ${lost.map((pid) => before.get(pid)).join(', ')}`)
}

async function restarted(edge: EdgeProcess, which: 'all' | 'parent'): Promise<void> {
  await edge.kill(which)
  await edge.start()
}

/** What the others have begun to cut is over before the one is gone. */
async function outageOf(one: OriginProcess, origins: readonly OriginProcess[], random: () => number): Promise<void> {
  const others = origins.filter((origin) => origin !== one)
  for (const other of others) other.steady(true)
  await delay(500)
  await outage([one], random)
  for (const other of others) other.steady(false)
}

async function outage(origins: readonly OriginProcess[], random: () => number): Promise<void> {
  await Promise.all(origins.map((origin) => origin.kill()))
  await delay(500 + random() * 2500)
  await Promise.all(origins.map((origin) => origin.start()))
}
