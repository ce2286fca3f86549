import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import { cpuSeconds } from '../harness/proc.js'
import type { Server } from './server.js'

const run = promisify(execFile)

/** One thread and 32 connections: enough to keep one server core busy, on one core of its own. */
const CONNECTIONS = 32
export const WRK_FLAGS = `wrk -t1 -c${CONNECTIONS}`

/** wrk tells its sums to Lua only; of its own CPU time the kernel knows. */
const REPORT = `
function done(summary, latency, requests)
  local stat = io.open('/proc/self/stat'):read('*a'):match('%) (.*)$')
  local fields = {}
  for field in stat:gmatch('%S+') do fields[#fields + 1] = field end
  local errors = summary.errors
  io.write(string.format(
    '\\nREPORT {"requests":%d,"bytes":%.0f,"seconds":%.6f,"socketErrors":%d,"statusErrors":%d,"p50Ms":%.3f,"p99Ms":%.3f,"clientCpu":%.2f}\\n',
    summary.requests, summary.bytes, summary.duration / 1e6, errors.connect + errors.read + errors.write + errors.timeout,
    errors.status, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, (fields[12] + fields[13]) / 100))
end
`

const reportSchema = z.object({
  requests: z.number(),
  bytes: z.number(),
  seconds: z.number().positive(),
  socketErrors: z.number(),
  statusErrors: z.number(),
  p50Ms: z.number(),
  p99Ms: z.number(),
  /** CPU seconds that wrk itself took. */
  clientCpu: z.number(),
})

/** What one run has shown. */
export interface Sample {
  requestsPerSecond: number
  bytesPerSecond: number
  p50Ms: number
  p99Ms: number
  /** Shares of a core. Where the client's is near 1 and the server's isn't, the client was the limit. */
  serverBusy: number
  clientBusy: number
  cpuSecondsPerGB: number
  cpuSecondsPer1000Requests: number
}

export interface WrkRun {
  folder: string
  core: number
  seconds: number
  server: Pick<Server, 'pids' | 'name'>
  url: string
  /** Lua that makes the requests, where one URL isn't enough. */
  lua?: string
  /** Body bytes of each answer: fewer in the mean are an error. */
  bytes: number
}

/** Keeps a server busy. @throws when an answer was an error, or too short: such a run measures nothing. */
export async function runWrk(options: WrkRun): Promise<Sample> {
  const script = join(options.folder, 'wrk.lua')
  await writeFile(script, (options.lua ?? '') + REPORT)
  const pids = options.server.pids()
  const before = cpuSeconds(pids)
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${options.seconds}s`, '--timeout', '10s', '-s', script, options.url]
  const { stdout } = await run('taskset', ['-c', String(options.core), 'wrk', ...args])
  const cpu = cpuSeconds(pids) - before
  const report = parseReport(stdout)
  const where = `${options.server.name}, ${options.url}`
  if (report.socketErrors + report.statusErrors > 0 || report.requests === 0) throw new Error(`wrk saw errors (${where}):\n${stdout}`)
  if (report.bytes < report.requests * options.bytes) throw new Error(`wrk got answers that are too short (${where})`)
  return {
    requestsPerSecond: report.requests / report.seconds,
    bytesPerSecond: (report.requests * options.bytes) / report.seconds,
    p50Ms: report.p50Ms,
    p99Ms: report.p99Ms,
    serverBusy: cpu / report.seconds,
    clientBusy: report.clientCpu / report.seconds,
    cpuSecondsPerGB: cpu / ((report.requests * options.bytes) / 1e9),
    cpuSecondsPer1000Requests: cpu / (report.requests / 1000),
  }
}

export function parseReport(stdout: string): z.output<typeof reportSchema> {
  const line = /^REPORT (.*)$/m.exec(stdout)
  if (!line) throw new Error(`wrk gave no report:\n${stdout}`)
  return reportSchema.parse(JSON.parse(line[1]!))
}
