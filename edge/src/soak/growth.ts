import { median } from '@millrace/common/testing/bench'
import { openFiles, residentBytes } from '../harness/proc.js'
import type { Role } from './roles.js'

/** The life of one process, in order. */
export interface Life {
  pid: number
  role: Role
  samples: { at: number; resident: number; files: number }[]
}

export interface Grown {
  pid: number
  role: Role
  /** Seconds from its first sample to its last. */
  lived: number
  /** Medians of the second tenth of its life, and of the last. */
  residentMiB: [early: number, late: number]
  files: [early: number, late: number]
}

/** Watches the processes of an edge, whichever they are. */
export class Lives {
  readonly #lives = new Map<number, Life>()

  sample(roles: ReadonlyMap<number, Role>, at: number): void {
    for (const [pid, role] of roles) {
      const [resident, files] = [residentBytes(pid), openFiles(pid)]
      if (resident === undefined || files === undefined) continue
      const life = this.#lives.get(pid) ?? { pid, role, samples: [] }
      // A process takes its title soon after it starts, not at once.
      life.role = role
      life.samples.push({ at, resident, files })
      this.#lives.set(pid, life)
    }
  }

  /** @returns the growth of those that lived at least so long, in milliseconds. */
  longer(ms: number): Grown[] {
    return [...this.#lives.values()].flatMap((life) => grownIn(life, ms) ?? [])
  }
}

export function grownIn({ pid, role, samples }: Life, minMs: number): Grown | undefined {
  const [first, last] = [samples[0], samples.at(-1)]
  if (!first || !last || last.at - first.at < minMs) return undefined
  const tenth = (number: number) => {
    const part = samples.slice(Math.floor((samples.length * (number - 1)) / 10), Math.ceil((samples.length * number) / 10))
    return { resident: median(part.map((sample) => sample.resident)), files: median(part.map((sample) => sample.files)) }
  }
  const [early, late] = [tenth(2), tenth(10)]
  const residentMiB: [number, number] = [early.resident / 2 ** 20, late.resident / 2 ** 20]
  return { pid, role, lived: (last.at - first.at) / 1000, residentMiB, files: [early.files, late.files] }
}

/** Beyond what a steady load moves up and down. */
export const GROWTH_LIMITS = { resident: 'a quarter and 32 MiB', files: '50' }

export function hasGrown({ residentMiB, files }: Grown): boolean {
  return residentMiB[1] > residentMiB[0] * 1.25 + 32 || files[1] > files[0] + 50
}
