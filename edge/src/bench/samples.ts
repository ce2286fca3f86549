import { median } from '@millrace/common/testing/bench'
import type { ServerName } from './server.js'
import type { Sample } from './wrk.js'

/** One server, one object, in all rounds. */
export interface Series {
  server: ServerName
  object: string
  tls: boolean
  rounds: Sample[]
}
export type Samples = Series[]

/** Requests per second of one server over those of another, round by round; empty when one of them wasn't measured. */
export function ratioOf(samples: Samples, of: { us: ServerName; peer: ServerName; object: { name: string }; tls: boolean }): number[] {
  const rounds = (server: ServerName) =>
    samples.find((series) => series.server === server && series.object === of.object.name && series.tls === of.tls)?.rounds ?? []
  const theirs = rounds(of.peer)
  return rounds(of.us).flatMap((ours, round) => {
    const other = theirs[round]
    return other ? [ours.requestsPerSecond / other.requestsPerSecond] : []
  })
}

/** Medians of the rounds. */
export function samplesTable(samples: Samples): { head: string[]; rows: (string | number)[][] } {
  const head = [
    'object',
    'server',
    'requests/s',
    'GB/s',
    'p50 ms',
    'p99 ms',
    'CPU s/GB',
    'CPU s/1,000 req',
    'server core %',
    'client core %',
  ]
  const rows = samples.map(({ server, object, rounds }) => {
    const of = (field: keyof Sample, digits: number, scale = 1) => (median(rounds.map((round) => round[field])) * scale).toFixed(digits)
    return [
      object,
      server,
      of('requestsPerSecond', 0),
      of('bytesPerSecond', 2, 1e-9),
      of('p50Ms', 2),
      of('p99Ms', 2),
      of('cpuSecondsPerGB', 3),
      of('cpuSecondsPer1000Requests', 4),
      of('serverBusy', 0, 100),
      of('clientBusy', 0, 100),
    ]
  })
  return { head, rows }
}
