import { Counter, Gauge, Histogram, Registry, Summary } from 'prom-client'
import { describe, expect, it } from 'vitest'
import { familiesSchema, type MetricFamily, SummedMetrics } from './summed-metrics.js'

async function told(requests: number, lag = 0): Promise<MetricFamily[]> {
  const registry = new Registry()
  registry.setDefaultLabels({ service: 'edge' })
  const registers = [registry]
  new Counter({ name: 'requests_total', help: 'r', labelNames: ['phase'], registers }).inc({ phase: 'hit' }, requests)
  const seconds = new Histogram({ name: 'head_seconds', help: 'h', buckets: [1, 2], registers })
  for (let i = 0; i < requests; i++) seconds.observe(1.5)
  new Gauge({ name: 'running', help: 'g', registers }).set(requests)
  new Gauge({ name: 'oldest_ms', help: 'g', aggregator: 'max', registers }).set(requests)
  new Gauge({ name: 'nodejs_eventloop_lag_seconds', help: 'l', registers }).set(lag)
  new Summary({ name: 'quantiles', help: 's', percentiles: [0.5], registers }).observe(requests)
  return familiesSchema.parse(structuredClone(await registry.getMetricsAsJSON()))
}

async function text(metrics: SummedMetrics): Promise<string> {
  return metrics.registry({ process: 'supervisor', families: [] }).metrics()
}

describe('the metrics of several processes', () => {
  it('keep what a process that is gone had counted, and forget its gauges', async () => {
    const metrics = new SummedMetrics()
    metrics.update('worker-1', await told(3, 0.1))
    metrics.update('worker-2', await told(4, 0.2))
    for (let life = 0; life < 3; life++) {
      metrics.retire('worker-1')
      metrics.update('worker-1', await told(1, 0.3))
    }
    const lines = await text(metrics)
    expect(lines).toContain('requests_total{phase="hit",service="edge"} 10\n')
    expect(lines).toContain('head_seconds_bucket{le="2",service="edge"} 10\n')
    expect(lines).toContain('running{service="edge"} 5\n')
    metrics.retire('worker-1')
    metrics.retire('worker-1')
    metrics.retire('worker-2')
    expect(await text(metrics)).toContain('requests_total{phase="hit",service="edge"} 10\n')
    expect(await text(metrics)).not.toContain('running{')
  })

  it('are summed, but for gauges that say otherwise or describe a process', async () => {
    const metrics = new SummedMetrics()
    metrics.update('worker-1', await told(3, 0.1))
    metrics.update('worker-2', await told(4, 0.2))
    const lines = await text(metrics)
    for (const line of [
      'requests_total{phase="hit",service="edge"} 7',
      'head_seconds_bucket{le="1",service="edge"} 0',
      'head_seconds_bucket{le="+Inf",service="edge"} 7',
      'head_seconds_sum{service="edge"} 10.5',
      'head_seconds_count{service="edge"} 7',
      'running{service="edge"} 7',
      'oldest_ms{service="edge"} 4',
      'nodejs_eventloop_lag_seconds{service="edge",process="worker-1"} 0.1',
      'nodejs_eventloop_lag_seconds{service="edge",process="worker-2"} 0.2',
      'quantiles_sum{service="edge",process="worker-2"} 4',
    ]) {
      expect(lines).toContain(`${line}\n`)
    }
  })

  it('may be no numbers', async () => {
    const metrics = new SummedMetrics()
    metrics.update('worker-1', await told(3, Number.NaN))
    expect(await text(metrics)).toMatch(/nodejs_eventloop_lag_seconds\{.*process="worker-1"\} nan/i)
  })

  it('have the own ones among them, and one HELP for each name', async () => {
    const metrics = new SummedMetrics()
    metrics.update('worker-1', await told(3))
    const lines = await metrics.registry({ process: 'supervisor', families: await told(2) }).metrics()
    expect(lines).toContain('requests_total{phase="hit",service="edge"} 5\n')
    expect(lines.match(/# HELP requests_total/g)).toHaveLength(1)
  })
})
