import { CACHE_PHASES, type CachePhase } from '@millrace/common/contracts/edge-api'
import { Counter, type Registry } from 'prom-client'
import type { DiskStats } from '../cache/store.js'
import { MISS_CAUSES } from '../keeper/contract.js'
import { FILL_OUTCOMES } from '../keeper/fill-outcome.js'
import { PREFETCH_OUTCOMES } from '../keeper/prefetch-budget.js'
import { CONTINUATION_OUTCOMES } from '../origin/continue-body.js'
import { ATTEMPT_OUTCOMES } from '../origin/contract.js'
import { HEDGE_OUTCOMES } from '../origin/search.js'
import { PURGE_SCOPES } from '../purge/record.js'
import { Declaring, SECONDS_BUCKETS } from './declare.js'
import { CACHE_OPERATIONS, REVALIDATION_OUTCOMES } from './labels.js'
import { ReadyHistogram } from './ready-histogram.js'
import type { RequestCounters } from './request-counters.js'

/*
 * Every metric of the edge but CMCD's. Labels are closed sets: phases, classes, outcomes, configured origins and disks; never a URL.
 * Each process declares the groups of what it does, and the values of several processes are summed, but for gauges of something they
 * share: those are declared by one of them alone, or name another aggregator.
 */

export interface ServingGauges {
  runningRequests: () => number
  openFiles: () => number
  ram: () => { bytes: number; maxBytes: number; objects: number }
  /** Lines so far. */
  logDropped: () => number
}

/** Of a process that answers HTTP. */
export function servingMetrics(registry: Registry, counters: RequestCounters, gauges: ServingGauges) {
  const declare = new Declaring(registry)
  const registers = [registry]
  new Counter<'phase' | 'class'>({
    name: 'millrace_edge_requests_total',
    help: 'Requests answered, by how the edge answered and by what was asked for.',
    labelNames: ['phase', 'class'],
    registers,
    collect() {
      this.reset()
      for (const { phase, class: name, value } of counters.requests()) this.inc({ phase, class: name }, value)
    },
  })
  const tiers = (field: 'answers' | 'bytes') =>
    function* (): Generator<[string, number]> {
      for (const one of counters.tiers()) yield [one.tier, one[field]]
    }
  declare.observedEach(
    'counter',
    'millrace_edge_answers_total',
    'Requests answered, by where the bytes came from.',
    'tier',
    tiers('answers'),
  )
  declare.observedEach(
    'counter',
    'millrace_edge_sent_bytes_total',
    'Body bytes handed to clients, by where they came from.',
    'tier',
    tiers('bytes'),
  )
  declare.observedEach('counter', 'millrace_edge_refusals_total', 'Requests that the edge turned down, by code.', 'code', function* () {
    for (const { code, value } of counters.refusals()) yield [code, value]
  })
  new ReadyHistogram({
    name: 'millrace_edge_head_seconds',
    help: "From a request's arrival to the first bytes of its answer.",
    bounds: SECONDS_BUCKETS,
    registry,
    read: () => counters.headSeconds(),
  })
  new Counter({
    name: 'millrace_edge_log_dropped_lines_total',
    help: 'Lines of the access log that found no room, or whose write failed.',
    registers,
    collect() {
      this.reset()
      this.inc(gauges.logDropped())
    },
  })
  declare.observed('millrace_edge_running_requests', 'Requests whose answer is not yet whole.', gauges.runningRequests)
  declare.observed('millrace_edge_open_files', 'Descriptors of stored responses that are kept open.', gauges.openFiles)
  declare.observed('millrace_edge_ram_bytes', 'What the RAM tier takes.', () => gauges.ram().bytes)
  declare.observed('millrace_edge_ram_max_bytes', 'The budget of the RAM tier, over all workers.', () => gauges.ram().maxBytes)
  declare.observed('millrace_edge_ram_objects', 'Responses in the RAM tier, over all workers.', () => gauges.ram().objects)
  return {
    brokenTransfers: declare.counter('millrace_edge_broken_transfers_total', 'Answers cut in mid-body because their bytes failed.', {}),
    clientAborts: declare.counter('millrace_edge_client_aborts_total', 'Clients that left before their answer was whole.', {}),
    misses: declare.counter('millrace_edge_misses_total', 'Requests that led a fill, by why they had to.', { cause: MISS_CAUSES }),
    coalescedWaiters: declare.counter('millrace_edge_coalesced_waiters_total', 'Requests that joined a fill that another one led.', {}),
  }
}
export type ServingMetrics = ReturnType<typeof servingMetrics>

/** Of a process that asks origins: the keeper, and workers for what passes by the cache. */
export function originMetrics(registry: Registry, origins: readonly string[]) {
  const declare = new Declaring(registry)
  return {
    attempts: declare.counter('millrace_edge_origin_attempts_total', 'Requests to origins, by outcome.', {
      origin: origins,
      outcome: ATTEMPT_OUTCOMES,
    }),
    attemptSeconds: declare.seconds(
      'millrace_edge_origin_attempt_seconds',
      "From asking an origin to its answer's first byte, or its failure.",
      {
        origin: origins,
      },
    ),
    hedges: declare.counter('millrace_edge_origin_hedges_total', 'Second origins asked because the first was slow, by what came of it.', {
      outcome: HEDGE_OUTCOMES,
    }),
    continued: declare.counter(
      'millrace_edge_origin_continued_total',
      'Bodies that broke and were tried to be continued at another origin.',
      {
        outcome: CONTINUATION_OUTCOMES,
      },
    ),
    retryBudgetSpent: declare.counter('millrace_edge_retry_budget_spent_total', 'Retries that were not made because too many were.', {}),
  }
}
export type OriginMetrics = ReturnType<typeof originMetrics>

/** Of a process that reads or writes cache disks. */
export function diskFaultMetrics(registry: Registry) {
  const declare = new Declaring(registry)
  return {
    cacheFaults: declare.counter(
      'millrace_edge_cache_faults_total',
      'Operations of a cache disk that failed; invalidate: those of unsafe requests that no disk took, or that the keeper was not there for.',
      {
        operation: CACHE_OPERATIONS,
      },
    ),
    checksumFailures: declare.counter(
      'millrace_edge_checksum_failures_total',
      'Blocks of stored responses whose checksum was wrong; none was sent.',
      {},
    ),
    verifiedBlocks: declare.counter('millrace_edge_verified_blocks_total', 'Blocks of stored responses whose checksum was right.', {}),
  }
}
export type DiskFaultMetrics = ReturnType<typeof diskFaultMetrics>

/** Of the keeper alone: the shared disks, fills and purges, and how origins do as fills see them. */
export function keeperMetrics(
  registry: Registry,
  observed: { disks: () => readonly DiskStats[]; origins: () => readonly { id: string; up: boolean }[]; runningFills: () => number },
) {
  const declare = new Declaring(registry)
  const ofDisks = (type: 'counter' | 'gauge', name: string, help: string, read: (disk: DiskStats) => number) =>
    declare.observedEach(type, name, help, 'disk', function* () {
      for (const disk of observed.disks()) yield [disk.path, read(disk)]
    })
  ofDisks('gauge', 'millrace_edge_cache_objects', 'Stored responses.', (disk) => disk.objects)
  ofDisks('gauge', 'millrace_edge_cache_bytes', 'Disk bytes that stored responses and running fills take.', (disk) => disk.bytes)
  ofDisks('gauge', 'millrace_edge_cache_max_bytes', 'The budget of a cache disk.', (disk) => disk.maxBytes)
  ofDisks('gauge', 'millrace_edge_cache_disk_in', '0 while a cache disk is left alone because it failed.', (disk) =>
    disk.state === 'in' ? 1 : 0,
  )
  ofDisks(
    'counter',
    'millrace_edge_cache_evicted_bytes_total',
    'Disk bytes of responses that had to go for others.',
    (disk) => disk.evictedBytes,
  )
  declare.observedEach('gauge', 'millrace_edge_origin_up', '0 while an origin is asked last because it failed.', 'origin', function* () {
    for (const { id, up } of observed.origins()) yield [id, up ? 1 : 0]
  })
  declare.observed('millrace_edge_running_fills', 'Fills under way.', observed.runningFills)
  return {
    fills: declare.counter('millrace_edge_fills_total', 'Transfers from an origin into the cache, by how they ended.', {
      outcome: FILL_OUTCOMES,
    }),
    fillSeconds: declare.seconds('millrace_edge_fill_seconds', 'How long fills took, stored or not.', {}),
    revalidations: declare.counter(
      'millrace_edge_revalidations_total',
      'Stale responses that origins were asked about, by what came of it.',
      {
        outcome: REVALIDATION_OUTCOMES,
      },
    ),
    prefetches: declare.counter('millrace_edge_prefetch_total', 'Objects that players announced, by whether they were fetched ahead.', {
      outcome: PREFETCH_OUTCOMES,
    }),
    purges: declare.counter('millrace_edge_purges_total', 'Purges, by what they covered.', { scope: PURGE_SCOPES }),
  }
}
export type KeeperMetrics = ReturnType<typeof keeperMetrics>

/** Of a process that terminates TLS. */
export function tlsMetrics(registry: Registry) {
  const declare = new Declaring(registry)
  return {
    certificateExpiry: declare.gauge(
      'millrace_edge_tls_certificate_expiry_timestamp_seconds',
      'When the certificate in use expires, in Unix time; over several processes the first to expire.',
      {},
      { aggregator: 'min' },
    ),
  }
}
export type TlsMetrics = ReturnType<typeof tlsMetrics>

/** A metric as `getMetricsAsJSON` gives it, of one process or summed over all. */
interface MetricJson {
  name: string
  values?: readonly { labels: Partial<Record<string, string | number>>; value: number }[]
}

/** What /v1/status tells of requests, from the metrics of one process or of all together. */
export function requestTotals(metrics: readonly MetricJson[]): { requests: Partial<Record<CachePhase, number>>; bytesSent: number } {
  const valuesOf = (name: string) => metrics.find((metric) => metric.name === name)?.values ?? []
  const requests: Partial<Record<CachePhase, number>> = {}
  for (const phase of CACHE_PHASES) requests[phase] = 0
  for (const { labels, value } of valuesOf('millrace_edge_requests_total')) {
    const phase = CACHE_PHASES.find((one) => one === labels.phase)
    if (phase) requests[phase] = (requests[phase] ?? 0) + value
  }
  const bytesSent = valuesOf('millrace_edge_sent_bytes_total').reduce((sum, { value }) => sum + value, 0)
  return { requests, bytesSent }
}
