import { Counter, Histogram, type Registry } from 'prom-client'
import type { Cmcd } from './cmcd.js'
import { rungOf } from './vocabulary.js'

/** Why something of a payload was not read. `skipped`: the time for payloads with lists was used up. */
export const CMCD_FLAWS = ['payload', 'value', 'skipped'] as const
export type CmcdFlaw = (typeof CMCD_FLAWS)[number]

const MEDIA_SECONDS = [0, 0.5, 1, 2, 4, 8, 15, 30, 60]
const BITS_PER_SECOND = [0.5e6, 1e6, 2e6, 3e6, 5e6, 8e6, 16e6, 32e6, 64e6, 128e6]

/** What players report (CTA-5004), of the sampled requests. Every label is of a closed set, so hostile players can't add to them. */
export function cmcdMetrics(registry: Registry) {
  const registers = [registry]
  const metrics = {
    requests: new Counter<'type' | 'rung' | 'format'>({
      name: 'millrace_edge_cmcd_requests_total',
      help: 'Sampled requests with CMCD, by object type, rung of the encoded bitrate, and streaming format.',
      labelNames: ['type', 'rung', 'format'],
      registers,
    }),
    starvations: new Counter<'type' | 'rung'>({
      name: 'millrace_edge_cmcd_starvations_total',
      help: 'Sampled requests of players that had run dry (bs).',
      labelNames: ['type', 'rung'],
      registers,
    }),
    startups: new Counter<'type' | 'rung'>({
      name: 'millrace_edge_cmcd_startups_total',
      help: 'Sampled requests that a player needed to start, after a seek too (su).',
      labelNames: ['type', 'rung'],
      registers,
    }),
    bufferSeconds: new Histogram<'type' | 'rung'>({
      name: 'millrace_edge_cmcd_buffer_seconds',
      help: "Media in the players' buffers at a request (bl).",
      labelNames: ['type', 'rung'],
      buckets: MEDIA_SECONDS,
      registers,
    }),
    deadlineSeconds: new Histogram<'type' | 'rung'>({
      name: 'millrace_edge_cmcd_deadline_seconds',
      help: 'Time that players gave a request before they would run dry (dl).',
      labelNames: ['type', 'rung'],
      buckets: MEDIA_SECONDS,
      registers,
    }),
    throughput: new Histogram<'type' | 'rung'>({
      name: 'millrace_edge_cmcd_throughput_bits_per_second',
      help: 'Throughput that players measured (mtp).',
      labelNames: ['type', 'rung'],
      buckets: BITS_PER_SECOND,
      registers,
    }),
    invalid: new Counter<'flaw'>({
      name: 'millrace_edge_cmcd_invalid_total',
      help: 'CMCD that was not read: whole payloads, single values, and payloads for which there was no time.',
      labelNames: ['flaw'],
      registers,
    }),
  }
  for (const flaw of CMCD_FLAWS) metrics.invalid.inc({ flaw }, 0)
  return metrics
}

export type CmcdMetrics = ReturnType<typeof cmcdMetrics>

/** Counts by label sets whose series are looked up once: prom-client takes longer to find a series than to count in it. */
export class CmcdCounters {
  readonly #metrics: CmcdMetrics
  /** By type and rung, both of closed sets. */
  readonly #series = new Map<string, Map<string, Series>>()

  constructor(metrics: CmcdMetrics) {
    this.#metrics = metrics
  }

  count(cmcd: Cmcd): void {
    const series = this.#seriesOf(cmcd.objectType ?? 'unknown', rungOf(cmcd.bitrateKbps))
    series.requests(cmcd.format ?? 'unknown').inc()
    if (cmcd.starved) series.starvations.inc()
    if (cmcd.startup) series.startups.inc()
    if (cmcd.bufferMs !== undefined) series.bufferSeconds.observe(cmcd.bufferMs / 1000)
    if (cmcd.deadlineMs !== undefined) series.deadlineSeconds.observe(cmcd.deadlineMs / 1000)
    if (cmcd.throughputKbps !== undefined) series.throughput.observe(cmcd.throughputKbps * 1000)
  }

  flawed(flaw: CmcdFlaw, count = 1): void {
    this.#metrics.invalid.inc({ flaw }, count)
  }

  #seriesOf(type: string, rung: string): Series {
    let byRung = this.#series.get(type)
    if (!byRung) {
      byRung = new Map()
      this.#series.set(type, byRung)
    }
    let series = byRung.get(rung)
    if (!series) {
      series = seriesOf(this.#metrics, type, rung)
      byRung.set(rung, series)
    }
    return series
  }
}

type Series = ReturnType<typeof seriesOf>

function seriesOf(metrics: CmcdMetrics, type: string, rung: string) {
  const requests = new Map<string, Counter.Internal>()
  return {
    requests: (format: string): Counter.Internal => {
      let counter = requests.get(format)
      if (!counter) {
        counter = metrics.requests.labels(type, rung, format)
        requests.set(format, counter)
      }
      return counter
    },
    starvations: metrics.starvations.labels(type, rung),
    startups: metrics.startups.labels(type, rung),
    bufferSeconds: metrics.bufferSeconds.labels(type, rung),
    deadlineSeconds: metrics.deadlineSeconds.labels(type, rung),
    throughput: metrics.throughput.labels(type, rung),
  }
}
