import { readFileSync } from 'node:fs'
import { bound } from '@millrace/common/process'
import { VERSION } from '@millrace/common/version'

export async function describeVersions(): Promise<Record<string, string>> {
  const { stdout } = await bound('ffmpeg', ['-version'])
  return { millrace: VERSION, node: process.version, ffmpeg: /^ffmpeg version (\S+)/.exec(stdout)?.[1] ?? 'unknown' }
}

/** Peak resident memory of a running process in MiB (VmHWM of proc_pid_status(5)). */
export function peakMemoryMiB(pid: number): number {
  const line = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  if (!line) throw new Error(`no VmHWM of process ${pid}`)
  return Number(line[1]) / 1024
}
