import type { Histogram, Registry } from 'prom-client'

/** Observations of one label value: how many in each bucket (the last is above all bounds), and their sum. */
export interface Observations<L extends string> {
  labels: Record<L, string>
  /** Not cumulative; one more than there are bounds. */
  buckets: ArrayLike<number>
  sum: number
}

interface Value {
  metricName: string
  labels: Record<string, string | number>
  value: number
}

/**
 * A histogram whose observations were counted elsewhere: in text, as JSON and summed over processes it looks as prom-client's own, which
 * takes no ready-made numbers. A registry asks its metrics for no more than this; its aggregation registers such objects too.
 */
export class ReadyHistogram<L extends string> {
  readonly name: string
  readonly help: string
  readonly type = 'histogram'
  readonly aggregator = 'sum'
  readonly #bounds: readonly number[]
  readonly #read: () => Iterable<Observations<L>>

  constructor(options: {
    name: string
    help: string
    bounds: readonly number[]
    registry: Registry
    read: () => Iterable<Observations<L>>
  }) {
    this.name = options.name
    this.help = options.help
    this.#bounds = options.bounds
    this.#read = options.read
    options.registry.registerMetric(this as unknown as Histogram<L>)
  }

  async get() {
    const { name, help, type, aggregator } = this
    return { name, help, type, aggregator, values: [...this.#read()].flatMap((observations) => this.#values(observations)) }
  }

  /** The numbers are not this object's to forget. */
  reset(): void {}

  #values({ labels, buckets, sum }: Observations<L>): Value[] {
    let count = 0
    const cumulative = this.#bounds.map((bound, i): Value => {
      count += buckets[i] ?? 0
      return { metricName: `${this.name}_bucket`, labels: { le: bound, ...labels }, value: count }
    })
    count += buckets[this.#bounds.length] ?? 0
    return [
      ...cumulative,
      { metricName: `${this.name}_bucket`, labels: { le: '+Inf', ...labels }, value: count },
      { metricName: `${this.name}_sum`, labels: { ...labels }, value: sum },
      { metricName: `${this.name}_count`, labels: { ...labels }, value: count },
    ]
  }
}
