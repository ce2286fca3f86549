import { AggregatorRegistry, type Registry } from 'prom-client'
import { z } from 'zod'

/** Also NaN and the infinities: the mean of nothing is what some gauges say. */
const anyNumber = z.custom<number>((value) => typeof value === 'number')

/** As `registry.getMetricsAsJSON()` gives them. */
const familySchema = z.looseObject({
  name: z.string(),
  help: z.string(),
  type: z.enum(['counter', 'gauge', 'histogram', 'summary']),
  aggregator: z.string().optional(),
  values: z.array(
    z.looseObject({
      value: anyNumber,
      labels: z.record(z.string(), z.union([z.string(), anyNumber])),
      metricName: z.string().optional(),
    }),
  ),
})
export type MetricFamily = z.infer<typeof familySchema>
export const familiesSchema = z.array(familySchema)

/** Gauges that describe a process and not the service: a sum of event-loop lags or start times says nothing. */
const OF_A_PROCESS = /^(process|nodejs)_/

/**
 * The metrics of several processes as those of one service. Counters and histograms are summed, also over processes that are gone, so that
 * none goes backwards when one is replaced; gauges by their `aggregator` (sum, if none is set) over those that live; gauges of processes,
 * and summaries, whose quantiles can't be summed, one by one with a `process` label.
 */
export class SummedMetrics {
  /** What processes that are gone had counted. */
  #retired: MetricFamily[] = []
  readonly #latest = new Map<string, MetricFamily[]>()

  /** @param process name of its place, the same after a restart */
  update(process: string, families: MetricFamily[]): void {
    this.#latest.set(process, families)
  }

  /** The process is gone; the next one in its place starts from zero. */
  retire(process: string): void {
    const latest = this.#latest.get(process)
    if (!latest) return
    this.#latest.delete(process)
    this.#retired = sum([this.#retired, latest.filter((family) => family.type === 'counter' || family.type === 'histogram')])
  }

  /** @param own those of the process that asks */
  registry(own: { process: string; families: MetricFamily[] }): Registry {
    const parts = [labelled(own.process, own.families)]
    for (const [process, families] of this.#latest) parts.push(labelled(process, families))
    return aggregate([this.#retired, ...parts])
  }
}

function labelled(process: string, families: MetricFamily[]): MetricFamily[] {
  return families.map((family) => {
    if (family.type !== 'summary' && !(family.type === 'gauge' && OF_A_PROCESS.test(family.name))) return family
    const values = family.values.map((value) => ({ ...value, labels: { ...value.labels, process } }))
    return { ...family, aggregator: 'first', values }
  })
}

function sum(parts: MetricFamily[][]): MetricFamily[] {
  const families = new Map<string, MetricFamily>()
  for (const family of parts.flat()) {
    const known = families.get(family.name)
    families.set(family.name, known ? { ...known, values: sumValues([...known.values, ...family.values]) } : family)
  }
  return [...families.values()]
}

function sumValues(values: MetricFamily['values']): MetricFamily['values'] {
  const sums = new Map<string, MetricFamily['values'][number]>()
  for (const value of values) {
    const key = JSON.stringify([value.metricName, Object.entries(value.labels).sort(([a], [b]) => (a < b ? -1 : 1))])
    const known = sums.get(key)
    sums.set(key, known ? { ...known, value: known.value + value.value } : value)
  }
  return [...sums.values()]
}

/** A family's `aggregator` is the first one's that has it, so one is there for each, and one that prom-client knows. */
function aggregate(parts: MetricFamily[][]): Registry {
  const known = new Set(['sum', 'first', 'omit', 'average', 'min', 'max'])
  const safe = parts.map((families) =>
    families.map((family) => ({ ...family, aggregator: family.aggregator && known.has(family.aggregator) ? family.aggregator : 'sum' })),
  )
  return AggregatorRegistry.aggregate(safe)
}
