import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'

/** One demand of a bench. `ok` is null where this machine can't measure it, with a `why`. */
export interface Bar {
  name: string
  value: number | null
  bound: string
  ok: boolean | null
  why?: string
  /** What is aimed at beyond the bound, and whether it is reached. */
  goal?: string
  goalReached?: boolean | null
}

/** The last line of every bench. */
export interface BenchResult {
  bench: string
  machine: Machine
  versions: Record<string, string>
  bars: Bar[]
  [detail: string]: unknown
}

export interface Machine {
  cpu: string
  cores: number
  memoryGiB: number
  kernel: string
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim(),
  }
}

/** A bar of the form `value ≤ limit`. */
export function atMost(name: string, value: number, limit: number, goal?: number): Bar {
  return bar(name, value, '<=', limit, goal)
}

/** A bar of the form `value ≥ limit`. */
export function atLeast(name: string, value: number, limit: number, goal?: number): Bar {
  return bar(name, value, '>=', limit, goal)
}

function bar(name: string, value: number, sign: '<=' | '>=', limit: number, goal: number | undefined): Bar {
  const holds = (bound: number) => (sign === '<=' ? value <= bound : value >= bound)
  const judged: Bar = { name, value: rounded(value), bound: `${sign}${limit}`, ok: holds(limit) }
  return goal === undefined ? judged : { ...judged, goal: `${sign}${goal}`, goalReached: holds(goal) }
}

/** A bar that this machine, or this run, can't judge; a value that was seen all the same is shown. */
export function notJudged(measured: Bar, why: string): Bar {
  return { ...measured, ok: null, why, ...(measured.goal === undefined ? {} : { goalReached: null }) }
}

export function rounded(value: number): number {
  return Math.round(value * 1000) / 1000
}

/** @returns NaN of nothing. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** Between neighbours by linear interpolation; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) return Number.NaN
  const sorted = [...values].sort((a, b) => a - b)
  const at = share * (sorted.length - 1)
  const low = sorted[Math.floor(at)]!
  return low + (sorted[Math.ceil(at)]! - low) * (at - Math.floor(at))
}
