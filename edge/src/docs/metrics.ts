import { Registry } from 'prom-client'
import { cmcdMetrics } from '../cmcd/metrics.js'
import { OBJECT_TYPES, RUNG_LABELS, STREAMING_FORMATS } from '../cmcd/vocabulary.js'
import { diskFaultMetrics, keeperMetrics, originMetrics, servingMetrics, tlsMetrics } from '../metrics/edge-metrics.js'
import { RequestCounters } from '../metrics/request-counters.js'
import { supervisorMetrics } from '../supervise/metrics.js'
import { markdownTable } from './markdown.js'

const HEAD = `# Metrics of the edge

Made from the metrics that the edge declares: \`npm run docs\` writes this page anew, and a test fails when it is stale. \`GET /metrics\` on the admin
listener answers for all processes of an edge together: counters and histograms are summed, also over processes that are gone; gauges are
summed unless their help says otherwise. Every series carries \`service="edge"\` and \`id\`, the edge's name. Label values are closed sets, or names
from the configuration (origins, disks); a client can't add to them. Series of closed sets are there from the start, at 0.

Beside these there are the \`process_*\` and \`nodejs_*\` metrics of prom-client (CPU seconds, memory, descriptors, event-loop lag, garbage
collection). With several workers the gauges among them are told of each process, by the label \`process\`: \`supervisor\`, \`keeper\`, \`worker-1\` and
so on; CPU seconds and other counters are sums.
`

/** Of configuration, not of the program. */
const CONFIGURED: Readonly<Record<string, string>> = { origin: 'ids of `origins`', disk: 'paths of `cache.disks`' }

interface Documented {
  name: string
  type: string
  help: string
  /** Label name to its values. */
  labels: Map<string, string[]>
}

/** docs/metrics-edge.md. */
export async function metricsPage(): Promise<string> {
  const groups: [string, Documented[]][] = []
  for (const [title, declare] of GROUPS) groups.push([title, await documented(declare)])
  const shared = sharedLabels(groups.flatMap(([, metrics]) => metrics))
  const sections = groups.map(([title, metrics]) => {
    const rows = metrics.map(({ name, type, help, labels }) => [`\`${name}\``, type, labelCell(labels, shared), help])
    return `## ${title}\n\n${markdownTable(['name', 'type', 'labels', ''], rows)}`
  })
  const labelRows = [...shared].map(([name, values]) => [`\`${name}\``, values])
  return `${HEAD}\n${sections.join('\n')}\n## Labels of several metrics\n\n${markdownTable(['label', 'values'], labelRows)}`
}

/** By the process that has them; with one worker all are of one process. */
const GROUPS: readonly [string, (registry: Registry) => void][] = [
  [
    'Requests and the RAM tier (workers)',
    (registry) => {
      servingMetrics(registry, new RequestCounters(), {
        runningRequests: () => 0,
        openFiles: () => 0,
        ram: () => ({ bytes: 0, maxBytes: 0, objects: 0 }),
        logDropped: () => 0,
      })
    },
  ],
  [
    'Fills, cache disks, purges and the health of origins (keeper)',
    (registry) => {
      const disk = { path: 'disk', state: 'in' as const, objects: 0, bytes: 0, maxBytes: 0, evictedBytes: 0 }
      keeperMetrics(registry, { disks: () => [disk], origins: () => [{ id: 'origin', up: true }], runningFills: () => 0 })
    },
  ],
  ['Faults of stored responses (keeper and workers)', (registry) => void diskFaultMetrics(registry)],
  ['Origins (keeper, and workers for what passes by the cache)', (registry) => void originMetrics(registry, ['origin'])],
  ['TLS (workers)', (registry) => void tlsMetrics(registry)],
  ['What players report: CMCD (workers)', declareCmcd],
  ['Processes (supervisor, with several workers)', (registry) => void supervisorMetrics(registry, () => 0)],
]

function declareCmcd(registry: Registry): void {
  const { requests } = cmcdMetrics(registry)
  for (const type of [...Object.values(OBJECT_TYPES), 'unknown']) {
    for (const rung of RUNG_LABELS) {
      for (const format of [...Object.values(STREAMING_FORMATS), 'unknown']) requests.inc({ type, rung, format }, 0)
    }
  }
}

async function documented(declare: (registry: Registry) => void): Promise<Documented[]> {
  const registry = new Registry()
  declare(registry)
  const declared = new Map(registry.getMetricsAsArray().map((metric) => [metric.name, metric]))
  return (await registry.getMetricsAsJSON()).map(({ name, type, help, values }) => {
    const labels = new Map<string, string[]>()
    for (const label of labelNames(declared.get(name))) labels.set(label, [])
    for (const value of values ?? []) {
      for (const [label, one] of Object.entries(value.labels)) {
        if (label === 'le') continue
        const known = labels.get(label) ?? []
        if (!known.includes(String(one))) known.push(String(one))
        labels.set(label, known)
      }
    }
    return { name, type: String(type), help, labels }
  })
}

/** prom-client keeps them beside what its types show. */
function labelNames(metric: object | undefined): string[] {
  return metric && 'labelNames' in metric && Array.isArray(metric.labelNames) ? metric.labelNames.map(String) : []
}

/** Labels that mean the same wherever several metrics have them, with their values as a cell. */
function sharedLabels(metrics: readonly Documented[]): Map<string, string> {
  const uses = new Map<string, { count: number; values: Set<string> }>()
  for (const { labels } of metrics) {
    for (const [name, values] of labels) {
      const use = uses.get(name) ?? { count: 0, values: new Set<string>() }
      use.count++
      if (values.length > 0) use.values.add(CONFIGURED[name] ?? cell(values))
      uses.set(name, use)
    }
  }
  const shared = new Map<string, string>()
  for (const [name, { count, values }] of uses) if (count > 1 && values.size === 1) shared.set(name, [...values][0]!)
  return shared
}

function labelCell(labels: Map<string, string[]>, shared: ReadonlyMap<string, string>): string {
  return [...labels].map(([name, values]) => (shared.has(name) ? `\`${name}\`` : `\`${name}\`: ${cell(values)}`)).join('; ')
}

function cell(values: readonly string[]): string {
  return values.join(' · ')
}
