import { CACHE_PHASES, type CachePhase } from '@millrace/common/contracts/edge-api'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { StoreStats } from './cache/store.js'
import { FILL_OUTCOMES, type FillOutcome } from './keeper/fill.js'
import { ATTEMPT_OUTCOMES, type Attempt } from './origin/fallback.js'
import { REQUEST_CLASSES, type RequestClass } from './phase.js'

/** What was done with the cache disk when it failed. */
export const CACHE_OPERATIONS = ['open', 'read', 'create', 'write', 'commit', 'delete'] as const
export type CacheOperation = (typeof CACHE_OPERATIONS)[number]

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Every metric of the edge. Labels are closed sets: phases, classes, outcomes, configured origins; never a URL. */
export function edgeMetrics(registry: Registry, origins: readonly string[]) {
  const registers = [registry]
  const metrics = {
    requests: new Counter<'phase' | 'class'>({
      name: 'millrace_edge_requests_total',
      help: 'Requests answered, by how the edge answered and by what was asked for.',
      labelNames: ['phase', 'class'],
      registers,
    }),
    sentBytes: new Counter({ name: 'millrace_edge_sent_bytes_total', help: 'Body bytes handed to clients.', registers }),
    brokenTransfers: new Counter({
      name: 'millrace_edge_broken_transfers_total',
      help: 'Answers cut in mid-body because their bytes failed.',
      registers,
    }),
    clientAborts: new Counter({
      name: 'millrace_edge_client_aborts_total',
      help: 'Clients that left before their answer was whole.',
      registers,
    }),
    headSeconds: new Histogram<'phase'>({
      name: 'millrace_edge_head_seconds',
      help: "From a request's arrival to the first bytes of its answer.",
      labelNames: ['phase'],
      buckets: SECONDS,
      registers,
    }),
    originAttempts: new Counter<'origin' | 'outcome'>({
      name: 'millrace_edge_origin_attempts_total',
      help: 'Requests to origins, by outcome.',
      labelNames: ['origin', 'outcome'],
      registers,
    }),
    fills: new Counter<'outcome'>({
      name: 'millrace_edge_fills_total',
      help: 'Transfers from an origin into the cache, by how they ended.',
      labelNames: ['outcome'],
      registers,
    }),
    fillSeconds: new Histogram({
      name: 'millrace_edge_fill_seconds',
      help: 'How long fills took, stored or not.',
      buckets: SECONDS,
      registers,
    }),
    cacheFaults: new Counter<'operation'>({
      name: 'millrace_edge_cache_faults_total',
      help: 'Operations of the cache disk that failed.',
      labelNames: ['operation'],
      registers,
    }),
    originUp: new Gauge<'origin'>({
      name: 'millrace_edge_origin_up',
      help: '0 while an origin is asked last because it failed.',
      labelNames: ['origin'],
      registers,
    }),
  }
  // A counter that is there from the start has no first increase that a rate would miss.
  for (const phase of CACHE_PHASES) for (const name of REQUEST_CLASSES) metrics.requests.inc({ phase, class: name }, 0)
  for (const operation of CACHE_OPERATIONS) metrics.cacheFaults.inc({ operation }, 0)
  for (const outcome of FILL_OUTCOMES) metrics.fills.inc({ outcome }, 0)
  for (const origin of origins) {
    metrics.originUp.set({ origin }, 1)
    for (const outcome of ATTEMPT_OUTCOMES) metrics.originAttempts.inc({ origin, outcome }, 0)
  }
  return metrics
}

export type EdgeMetrics = ReturnType<typeof edgeMetrics>

/** Gauges that are read when they are asked for. */
export function observeCache(registry: Registry, stats: () => StoreStats, runningFills: () => number): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  gauge('millrace_edge_cache_objects', 'Stored responses.', () => stats().objects)
  gauge('millrace_edge_cache_bytes', 'Disk bytes that stored responses and running fills take.', () => stats().bytes)
  gauge('millrace_edge_cache_max_bytes', 'The budget of the disk cache.', () => stats().maxBytes)
  gauge('millrace_edge_running_fills', 'Fills under way.', runningFills)
  let told = 0
  new Counter({
    name: 'millrace_edge_cache_evicted_bytes_total',
    help: 'Disk bytes of responses that had to go for others.',
    registers: [registry],
    collect() {
      const { evictedBytes } = stats()
      this.inc(evictedBytes - told)
      told = evictedBytes
    },
  })
}

export function countAttempt(metrics: EdgeMetrics, attempt: Attempt): void {
  metrics.originAttempts.inc({ origin: attempt.origin, outcome: attempt.outcome })
}

export function countFill(metrics: EdgeMetrics, outcome: FillOutcome, ms: number): void {
  metrics.fills.inc({ outcome })
  metrics.fillSeconds.observe(ms / 1000)
}

/** Answered requests so far, by phase. */
export async function requestsByPhase(metrics: EdgeMetrics): Promise<Partial<Record<CachePhase, number>>> {
  const sums: Partial<Record<CachePhase, number>> = {}
  for (const { labels, value } of (await metrics.requests.get()).values) {
    const phase = labels.phase as CachePhase
    sums[phase] = (sums[phase] ?? 0) + value
  }
  return sums
}

export function countRequest(
  metrics: EdgeMetrics,
  request: { phase: CachePhase; class: RequestClass; bytes: number; headMs: number | undefined },
): void {
  metrics.requests.inc({ phase: request.phase, class: request.class })
  metrics.sentBytes.inc(request.bytes)
  if (request.headMs !== undefined) metrics.headSeconds.observe({ phase: request.phase }, request.headMs / 1000)
}
