import { createRegistry } from '@millrace/common/metrics/registry'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Answered } from './serve/answer.js'

/** What the gauges are read from when somebody scrapes. */
export interface MetricSources {
  assets: () => number
  running: () => number
  disk: () => Promise<{ totalBytes: number; freeBytes: number }>
}

export interface Metrics {
  registry: Registry
  answered: (answered: Answered, bytes: number, seconds: number) => void
  operationEnded: (kind: 'commit' | 'pull', outcome: 'done' | 'failed') => void
  rsyncdDied: () => void
  stagingRemoved: () => void
  janitorFailed: () => void
  damagedAtStart: (count: number) => void
}

/** Every metric of the origin. */
export function createMetrics(id: string, sources: MetricSources): Metrics {
  const registry = createRegistry({ service: 'origin', id })
  const registers = [registry]
  const requests = new Counter({
    name: 'millrace_origin_requests_total',
    help: 'Answers of the data listener by what was asked for and how it ended.',
    labelNames: ['class', 'outcome'],
    registers,
  })
  const sent = new Counter({
    name: 'millrace_origin_sent_bytes_total',
    help: 'Bytes the data listener wrote, headers included.',
    labelNames: ['class'],
    registers,
  })
  const seconds = new Histogram({
    name: 'millrace_origin_request_duration_seconds',
    help: 'From a request to the last byte of its answer.',
    labelNames: ['class'],
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
    registers,
  })
  const operations = new Counter({
    name: 'millrace_origin_operations_total',
    help: 'Commits and pulls that ended.',
    labelNames: ['kind', 'outcome'],
    registers,
  })
  const rsyncdDeaths = new Counter({
    name: 'millrace_origin_rsyncd_deaths_total',
    help: 'How often the rsync daemon died and was started again.',
    registers,
  })
  const stagingRemoved = new Counter({
    name: 'millrace_origin_staging_removed_total',
    help: 'Staged revisions that the janitor removed because nobody wrote to them any more.',
    registers,
  })
  const janitorFailures = new Counter({
    name: 'millrace_origin_janitor_failures_total',
    help: 'Runs of the janitor that ended with an error.',
    registers,
  })
  const damaged = new Gauge({
    name: 'millrace_origin_damaged_assets',
    help: 'Asset folders on disk that the last start could not serve.',
    registers,
  })
  new Gauge({
    name: 'millrace_origin_assets',
    help: 'Committed revisions on disk.',
    registers,
    collect() {
      this.set(sources.assets())
    },
  })
  new Gauge({
    name: 'millrace_origin_operations_running',
    help: 'Commits and pulls that are waiting or running.',
    registers,
    collect() {
      this.set(sources.running())
    },
  })
  new Gauge({
    name: 'millrace_origin_disk_bytes',
    help: 'Size and free space of the media filesystem.',
    labelNames: ['kind'],
    registers,
    async collect() {
      const { totalBytes, freeBytes } = await sources.disk()
      this.set({ kind: 'total' }, totalBytes)
      this.set({ kind: 'free' }, freeBytes)
    },
  })
  return {
    registry,
    answered: ({ mediaClass, outcome }, bytes, duration) => {
      requests.inc({ class: mediaClass, outcome })
      sent.inc({ class: mediaClass }, bytes)
      seconds.observe({ class: mediaClass }, duration)
    },
    operationEnded: (kind, outcome) => operations.inc({ kind, outcome }),
    rsyncdDied: () => rsyncdDeaths.inc(),
    stagingRemoved: () => stagingRemoved.inc(),
    janitorFailed: () => janitorFailures.inc(),
    damagedAtStart: (count) => damaged.set(count),
  }
}
