import type { Stage } from '@millrace/common/contracts/events'
import { createRegistry } from '@millrace/common/metrics/registry'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** How one delivery of a job ended here. */
export type Outcome = 'published' | 'failed' | 'retried' | 'cancelled' | 'handed-back' | 'duplicate'

export interface Metrics {
  registry: Registry
  jobEnded(outcome: Outcome): void
  jobRunning(running: boolean): void
  stageDone(stage: Stage, seconds: number): void
  fetched(bytes: number): void
  replica(result: 'held' | 'failed'): void
  withdrawFailed(): void
}

export function createMetrics(id: string): Metrics {
  const registry = createRegistry({ service: 'transcoder', id })
  const registers = [registry]
  const jobs = new Counter({
    name: 'millrace_transcoder_jobs_total',
    help: 'Deliveries of jobs by outcome.',
    labelNames: ['outcome'],
    registers,
  })
  const running = new Gauge({ name: 'millrace_transcoder_running', help: '1 while a job is worked on.', registers })
  const stages = new Histogram({
    name: 'millrace_transcoder_stage_seconds',
    help: 'Time of each finished stage of a job.',
    labelNames: ['stage'],
    buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400, 43_200],
    registers,
  })
  const source = new Counter({ name: 'millrace_transcoder_source_bytes_total', help: 'Bytes of sources fetched.', registers })
  const replicas = new Counter({
    name: 'millrace_transcoder_replicas_total',
    help: 'Assets brought to origins, by result.',
    labelNames: ['result'],
    registers,
  })
  const withdrawals = new Counter({
    name: 'millrace_transcoder_withdraw_failures_total',
    help: 'Dead revisions that an origin could not be asked to delete; the CMS sweeps them.',
    registers,
  })
  return {
    registry,
    jobEnded: (outcome) => jobs.inc({ outcome }),
    jobRunning: (is) => running.set(is ? 1 : 0),
    stageDone: (stage, seconds) => stages.observe({ stage }, seconds),
    fetched: (bytes) => source.inc(bytes),
    replica: (result) => replicas.inc({ result }),
    withdrawFailed: () => withdrawals.inc(),
  }
}
