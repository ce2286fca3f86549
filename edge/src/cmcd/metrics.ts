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

export function countCmcd(metrics: CmcdMetrics, cmcd: Cmcd): void {
  const labels = { type: cmcd.objectType ?? 'unknown', rung: rungOf(cmcd.bitrateKbps) }
  metrics.requests.inc({ ...labels, format: cmcd.format ?? 'unknown' })
  if (cmcd.starved) metrics.starvations.inc(labels)
  if (cmcd.startup) metrics.startups.inc(labels)
  if (cmcd.bufferMs !== undefined) metrics.bufferSeconds.observe(labels, cmcd.bufferMs / 1000)
  if (cmcd.deadlineMs !== undefined) metrics.deadlineSeconds.observe(labels, cmcd.deadlineMs / 1000)
  if (cmcd.throughputKbps !== undefined) metrics.throughput.observe(labels, cmcd.throughputKbps * 1000)
}
