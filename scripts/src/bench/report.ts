import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { bound } from '@millrace/common/process'
import { VERSION } from '@millrace/common/version'

/** One demand of a bench. `ok` is null where this machine can't measure it, with a `why`. */
export interface Bar {
  name: string
  value: number | null
  bound: string
  ok: boolean | null
  why?: string
}

export interface BenchResult {
  bench: string
  machine: { cpu: string; cores: number; memoryGiB: number; kernel: string }
  versions: Record<string, string>
  bars: Bar[]
  [detail: string]: unknown
}

export function describeMachine(): BenchResult['machine'] {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim(),
  }
}

export async function describeVersions(): Promise<Record<string, string>> {
  const { stdout } = await bound('ffmpeg', ['-version'])
  return { millrace: VERSION, node: process.version, ffmpeg: /^ffmpeg version (\S+)/.exec(stdout)?.[1] ?? 'unknown' }
}

/** A bar of the form `value ≤ limit`. */
export function atMost(name: string, value: number, limit: number): Bar {
  return { name, value: Math.round(value * 1000) / 1000, bound: `<=${limit}`, ok: value <= limit }
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Peak resident memory of a running process in MiB (VmHWM of proc_pid_status(5)). */
export function peakMemoryMiB(pid: number): number {
  const line = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  if (!line) throw new Error(`no VmHWM of process ${pid}`)
  return Number(line[1]) / 1024
}
