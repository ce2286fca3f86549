import { CACHE_PHASES } from '@millrace/common/contracts/edge-api'
import { createRegistry } from '@millrace/common/metrics/registry'
import fc from 'fast-check'
import { AggregatorRegistry, Histogram, Registry } from 'prom-client'
import { describe, expect, it } from 'vitest'
import { type Decision, REQUEST_CLASSES, TIERS } from '../phase.js'
import { SECONDS_BUCKETS } from './declare.js'
import { diskFaultMetrics, keeperMetrics, originMetrics, requestTotals, servingMetrics, tlsMetrics } from './edge-metrics.js'
import { ReadyHistogram } from './ready-histogram.js'
import { RequestCounters } from './request-counters.js'

const hit: Decision = { phase: 'hit', class: 'segment', tier: 'ram', origin: 'o1' }

function servingProcess() {
  const registry = createRegistry({ service: 'edge', id: 'e1' })
  const counters = new RequestCounters()
  const serving = servingMetrics(registry, counters, {
    runningRequests: () => 2,
    openFiles: () => 5,
    ram: () => ({ bytes: 100, maxBytes: 1000, objects: 3 }),
    logDropped: () => 6,
  })
  return {
    registry,
    counters,
    serving,
    origins: originMetrics(registry, ['o1', 'o2']),
    faults: diskFaultMetrics(registry),
    tls: tlsMetrics(registry),
  }
}

const DISK = { path: '/cache/a', state: 'in' as const, objects: 7, bytes: 4096, maxBytes: 8192, evictedBytes: 11 }
const ORIGINS = [
  { id: 'o1', up: true },
  { id: 'o2', up: false },
]
function keeperProcess() {
  const registry = createRegistry({ service: 'edge', id: 'e1' })
  const disks = [DISK, { ...DISK, path: '/cache/b', state: 'out' as const }]
  return {
    registry,
    keeper: keeperMetrics(registry, { disks: () => disks, origins: () => ORIGINS, runningFills: () => 4 }),
    origins: originMetrics(registry, ['o1', 'o2']),
  }
}

/** A sample line's value, whatever the order of its labels. */
function sample(text: string, name: string, labels: Record<string, string> = {}): number | undefined {
  const wanted = Object.entries({ service: 'edge', id: 'e1', ...labels }).map(([key, value]) => `${key}="${value}"`)
  const line = text.split('\n').find((one) => {
    const inner = /^([a-z_]+)\{([^}]*)\}/.exec(one)
    return (
      inner?.[1] === name && wanted.every((label) => inner[2]!.split(',').includes(label)) && inner[2]!.split(',').length === wanted.length
    )
  })
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1))
}

describe('the metrics of an edge', () => {
  it('have no series for a code outside the closed set', async () => {
    const { registry, counters } = servingProcess()
    counters.refused('route-expired')
    counters.refused('some-text-a-client-chose')
    const text = await registry.metrics()
    expect(sample(text, 'millrace_edge_refusals_total', { code: 'route-expired' })).toBe(1)
    expect(sample(text, 'millrace_edge_refusals_total', { code: 'other' })).toBe(1)
    expect(text).not.toContain('some-text')
  })

  it('are all there at 0 before the first request', async () => {
    const text = `${await servingProcess().registry.metrics()}${await keeperProcess().registry.metrics()}`
    for (const phase of CACHE_PHASES) {
      for (const name of REQUEST_CLASSES) expect(sample(text, 'millrace_edge_requests_total', { phase, class: name })).toBe(0)
      expect(sample(text, 'millrace_edge_head_seconds_bucket', { phase, le: '+Inf' })).toBe(0)
    }
    for (const tier of TIERS) expect(sample(text, 'millrace_edge_sent_bytes_total', { tier })).toBe(0)
    for (const name of ['client_aborts', 'broken_transfers', 'retry_budget_spent', 'checksum_failures'])
      expect(sample(text, `millrace_edge_${name}_total`), name).toBe(0)
    expect(sample(text, 'millrace_edge_misses_total', { cause: 'replica-missing' })).toBe(0)
    expect(sample(text, 'millrace_edge_origin_attempts_total', { origin: 'o2', outcome: 'timeout' })).toBe(0)
    expect(sample(text, 'millrace_edge_fills_total', { outcome: 'stored' })).toBe(0)
    expect(sample(text, 'millrace_edge_purges_total', { scope: 'url' })).toBe(0)
  })

  it('count requests by phase and class, and bytes and answers by tier', async () => {
    const { registry, counters } = servingProcess()
    counters.count(hit, 1000, 0.2)
    counters.count(hit, 500, 0.2)
    counters.count({ phase: 'miss', class: 'playlist', tier: 'fill', cause: 'cold' }, 20, undefined)
    for (const text of [await registry.metrics(), await registry.metrics()]) {
      expect(sample(text, 'millrace_edge_requests_total', { phase: 'hit', class: 'segment' })).toBe(2)
      expect(sample(text, 'millrace_edge_requests_total', { phase: 'miss', class: 'playlist' })).toBe(1)
      expect(sample(text, 'millrace_edge_sent_bytes_total', { tier: 'ram' })).toBe(1500)
      expect(sample(text, 'millrace_edge_answers_total', { tier: 'fill' })).toBe(1)
      expect(sample(text, 'millrace_edge_head_seconds_count', { phase: 'miss' })).toBe(0)
    }
    expect(requestTotals(await registry.getMetricsAsJSON())).toMatchObject({ requests: { hit: 2, miss: 1, error: 0 }, bytesSent: 1520 })
  })

  it('tell how many lines of the access log were dropped, once however often they are asked', async () => {
    const { registry } = servingProcess()
    for (const text of [await registry.metrics(), await registry.metrics()])
      expect(sample(text, 'millrace_edge_log_dropped_lines_total')).toBe(6)
  })

  it('tell of each disk by its configured path', async () => {
    const text = await keeperProcess().registry.metrics()
    expect(sample(text, 'millrace_edge_cache_objects', { disk: '/cache/a' })).toBe(7)
    expect(sample(text, 'millrace_edge_cache_evicted_bytes_total', { disk: '/cache/b' })).toBe(11)
    expect(sample(text, 'millrace_edge_cache_disk_in', { disk: '/cache/a' })).toBe(1)
    expect(sample(text, 'millrace_edge_cache_disk_in', { disk: '/cache/b' })).toBe(0)
  })
})

describe('metrics of several processes', () => {
  it('are summed, but disks and the health of origins are told by the keeper alone', async () => {
    const [first, second, keeper] = [servingProcess(), servingProcess(), keeperProcess()]
    first.counters.count(hit, 1000, 3)
    second.counters.count(hit, 10, 700)
    first.origins.attempts.inc({ origin: 'o1', outcome: 'ok' })
    keeper.origins.attempts.inc({ origin: 'o1', outcome: 'ok' })
    first.tls.certificateExpiry.set(2000)
    second.tls.certificateExpiry.set(1000)
    const all = await Promise.all([first, second, keeper].map(({ registry }) => registry.getMetricsAsJSON()))
    // As between processes.
    const summed = AggregatorRegistry.aggregate(JSON.parse(JSON.stringify(all)))
    const text = await summed.metrics()
    expect(sample(text, 'millrace_edge_requests_total', { phase: 'hit', class: 'segment' })).toBe(2)
    expect(sample(text, 'millrace_edge_head_seconds_bucket', { phase: 'hit', le: '0.0025' })).toBe(0)
    expect(sample(text, 'millrace_edge_head_seconds_bucket', { phase: 'hit', le: '0.005' })).toBe(1)
    expect(sample(text, 'millrace_edge_head_seconds_bucket', { phase: 'hit', le: '+Inf' })).toBe(2)
    expect(sample(text, 'millrace_edge_head_seconds_count', { phase: 'hit' })).toBe(2)
    expect(sample(text, 'millrace_edge_head_seconds_sum', { phase: 'hit' })).toBeCloseTo(0.703)
    expect(sample(text, 'millrace_edge_origin_attempts_total', { origin: 'o1', outcome: 'ok' })).toBe(2)
    expect(sample(text, 'millrace_edge_origin_up', { origin: 'o1' })).toBe(1)
    expect(sample(text, 'millrace_edge_origin_up', { origin: 'o2' })).toBe(0)
    expect(sample(text, 'millrace_edge_tls_certificate_expiry_timestamp_seconds')).toBe(1000)
    expect(sample(text, 'millrace_edge_ram_bytes')).toBe(200)
    expect(sample(text, 'millrace_edge_cache_objects', { disk: '/cache/a' })).toBe(7)
    expect(requestTotals(await summed.getMetricsAsJSON())).toMatchObject({ requests: { hit: 2 }, bytesSent: 1010 })
  })
})

describe('a histogram counted elsewhere', () => {
  it("reads as prom-client's own, in text, as JSON and summed, whatever was observed", async () => {
    const observations = fc.array(
      fc.tuple(
        fc.constantFrom(...CACHE_PHASES),
        fc.oneof(fc.double({ min: 0, max: 20_000, noNaN: true }), fc.constantFrom(0.5, 1, 10_000)),
      ),
    )
    await fc.assert(
      fc.asyncProperty(observations, async (observed) => {
        const name = 'head_seconds'
        const [ready, own] = [new Registry(), new Registry()]
        for (const registry of [ready, own]) registry.setDefaultLabels({ service: 'edge' })
        const counters = new RequestCounters()
        new ReadyHistogram({ name, help: 'h', bounds: SECONDS_BUCKETS, registry: ready, read: () => counters.headSeconds() })
        const histogram = new Histogram({ name, help: 'h', labelNames: ['phase'], buckets: [...SECONDS_BUCKETS], registers: [own] })
        for (const phase of CACHE_PHASES) histogram.zero({ phase })
        for (const [phase, ms] of observed) {
          counters.count({ ...hit, phase }, 0, ms)
          histogram.observe({ phase }, ms / 1000)
        }
        expect(valuesIn(await ready.metrics())).toEqual(valuesIn(await own.metrics()))
        const doubled = async (registry: Registry) => {
          const json = await registry.getMetricsAsJSON()
          return valuesIn(await AggregatorRegistry.aggregate([json, json]).metrics())
        }
        expect(await doubled(ready)).toEqual(await doubled(own))
      }),
      { numRuns: 50 },
    )
  })

  /** Lines with their labels sorted. */
  function valuesIn(text: string): string[] {
    return text
      .split('\n')
      .map((line) => line.replace(/\{(.*)\}/, (_all, labels: string) => `{${labels.split(',').sort().join(',')}}`))
      .sort()
  }
})
