import { VIDEO_STATES, type VideoState } from '@millrace/common/contracts/cms-api'
import { createRegistry } from '@millrace/common/metrics/registry'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** Where gauges get their values from, when somebody asks. */
export interface MetricSources {
  countByState: () => Promise<{ state: VideoState; videos: number }[]>
  countMissingReplicas: () => Promise<number>
  countSweeps: () => Promise<number>
  queueDepth: () => Promise<Record<'waiting' | 'active' | 'delayed', number>>
  unhealthyNodes: () => Record<'origin' | 'edge', number>
  listeners: () => number
  pulls: () => number
}

export const LOOPS = ['queue', 'replicas', 'sweeps', 'sources'] as const

export interface Metrics {
  registry: Registry
  events: Counter<'outcome'>
  loopFailures: Counter<'loop'>
  revisionsRemoved: Counter
  requests: Histogram<'method' | 'route' | 'status'>
}

export function createMetrics(id: string, sources: MetricSources): Metrics {
  const registry = createRegistry({ service: 'cms', id })
  const registers = [registry]
  gauge('millrace_cms_videos', 'Videos by state', ['state'], async (set) => {
    const counts = await sources.countByState()
    for (const state of VIDEO_STATES) set({ state }, counts.find((count) => count.state === state)?.videos ?? 0)
  })
  gauge('millrace_cms_replicas_missing', 'Replicas that are wanted and not held', [], async (set) =>
    set({}, await sources.countMissingReplicas()),
  )
  gauge('millrace_cms_sweeps_pending', 'Deletions that an origin has not done yet', [], async (set) => set({}, await sources.countSweeps()))
  gauge('millrace_cms_queue_jobs', 'Jobs on the queue', ['state'], async (set) => {
    for (const [state, jobs] of Object.entries(await sources.queueDepth())) set({ state }, jobs)
  })
  gauge('millrace_cms_nodes_unhealthy', 'Nodes whose probe fails', ['kind'], async (set) => {
    for (const [kind, nodes] of Object.entries(sources.unhealthyNodes())) set({ kind }, nodes)
  })
  gauge('millrace_cms_event_listeners', 'Browsers on the event feed', [], async (set) => set({}, sources.listeners()))
  gauge('millrace_cms_pulls_running', 'Replicas that are being made', [], async (set) => set({}, sources.pulls()))

  /** A source that fails now leaves its gauge without a value, and the others with theirs. */
  function gauge(
    name: string,
    help: string,
    labelNames: string[],
    read: (set: (labels: Record<string, string>, value: number) => void) => Promise<void>,
  ) {
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      async collect() {
        this.reset()
        await read((labels, value) => this.set(labels, value)).catch(() => this.reset())
      },
    })
  }

  return {
    registry,
    events: new Counter({
      name: 'millrace_cms_events_total',
      help: 'Events consumed, by what became of them: applied, stale, unknown, poison, retry',
      labelNames: ['outcome'],
      registers,
    }),
    loopFailures: new Counter({
      name: 'millrace_cms_loop_failures_total',
      help: 'Rounds of a reconciler that failed and were tried again',
      labelNames: ['loop'],
      registers,
    }),
    revisionsRemoved: new Counter({ name: 'millrace_cms_revisions_removed_total', help: 'Revisions deleted at origins', registers }),
    requests: new Histogram({
      name: 'millrace_cms_request_duration_seconds',
      help: 'Time to answer a request, by route pattern',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60],
      registers,
    }),
  }
}
