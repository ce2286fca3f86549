import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** Label names with every value they can have. */
export type LabelSets<L extends string> = Record<L, readonly string[]>

/** How the values of several processes make one. */
export type Aggregator = 'sum' | 'min' | 'max' | 'first'

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
export const SECONDS_BUCKETS: readonly number[] = SECONDS

/** Declares metrics in one registry. What has closed labels begins with each of its series at 0: a rate misses no first increase. */
export class Declaring {
  readonly #registry: Registry

  constructor(registry: Registry) {
    this.#registry = registry
  }

  counter<L extends string>(name: string, help: string, labels: LabelSets<L>): Counter<L> {
    const counter = new Counter<L>({ name, help, labelNames: namesOf(labels), registers: [this.#registry] })
    for (const combination of combinations(labels)) counter.inc(combination, 0)
    return counter
  }

  gauge<L extends string>(name: string, help: string, labels: LabelSets<L>, options: { aggregator?: Aggregator; start?: number } = {}) {
    const { aggregator = 'sum', start = 0 } = options
    const gauge = new Gauge<L>({ name, help, labelNames: namesOf(labels), registers: [this.#registry], aggregator })
    for (const combination of combinations(labels)) gauge.set(combination, start)
    return gauge
  }

  seconds<L extends string>(name: string, help: string, labels: LabelSets<L>): Histogram<L> {
    const histogram = new Histogram<L>({ name, help, labelNames: namesOf(labels), buckets: SECONDS, registers: [this.#registry] })
    for (const combination of combinations(labels)) histogram.zero(combination)
    return histogram
  }

  /** A gauge that is read when it is asked for. */
  observed(name: string, help: string, read: () => number, aggregator: Aggregator = 'sum'): void {
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      aggregator,
      collect() {
        this.set(read())
      },
    })
  }

  /** One value per member of a set that is known when it is asked for; members come from configuration, never from a client. */
  observedEach<L extends string>(
    type: 'counter' | 'gauge',
    name: string,
    help: string,
    label: L,
    read: () => Iterable<[string, number]>,
  ): void {
    const labelNames = [label]
    const registers = [this.#registry]
    const of = (value: string) => ({ [label]: value }) as Record<L, string>
    if (type === 'gauge') {
      new Gauge<L>({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset()
          for (const [member, value] of read()) this.set(of(member), value)
        },
      })
      return
    }
    new Counter<L>({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset()
        for (const [member, value] of read()) this.inc(of(member), value)
      },
    })
  }
}

function namesOf<L extends string>(labels: LabelSets<L>): L[] {
  return Object.keys(labels) as L[]
}

/** Every combination of the labels' values; of no labels the empty one. */
function combinations<L extends string>(labels: LabelSets<L>): Record<L, string>[] {
  let all: Record<string, string>[] = [{}]
  for (const name of namesOf(labels)) all = all.flatMap((one) => labels[name].map((value) => ({ ...one, [name]: value })))
  return all as Record<L, string>[]
}
