import { setInterval as every } from 'node:timers/promises'

/** unknown until the first probe has answered. */
export interface NodeHealth {
  state: 'unknown' | 'healthy' | 'unhealthy'
  /** The last failure. */
  detail?: string
  /** Probes in a row that say the contrary of `state`. */
  contrary: number
}

/** Probes in a row that it takes to change one's mind. */
export const FLIP_AFTER = 2

/** Hysteresis: the first answer counts, after that one stray answer changes nothing. */
export function afterProbe(before: NodeHealth, problem: string | undefined): NodeHealth {
  const seen = problem === undefined ? 'healthy' : 'unhealthy'
  const detail = problem === undefined ? {} : { detail: problem }
  if (before.state === 'unknown' || before.state === seen) return { state: seen, contrary: 0, ...detail }
  const contrary = before.contrary + 1
  return contrary >= FLIP_AFTER ? { state: seen, contrary: 0, ...detail } : { state: before.state, contrary, ...detail }
}

/** Watches some nodes by asking each of them again and again. */
export class Prober<N extends { id: string }> {
  readonly #nodes: readonly N[]
  readonly #ask: (node: N) => Promise<void>
  readonly #everyMs: number
  readonly #onFlip: (node: N, health: NodeHealth) => void
  readonly #health = new Map<string, NodeHealth>()
  readonly #stopping = new AbortController()
  #done: Promise<unknown> | undefined

  /** @param ask rejects when the node isn't well. */
  constructor(options: {
    nodes: readonly N[]
    ask: (node: N) => Promise<void>
    everyMs: number
    onFlip: (node: N, health: NodeHealth) => void
  }) {
    this.#nodes = options.nodes
    this.#ask = options.ask
    this.#everyMs = options.everyMs
    this.#onFlip = options.onFlip
  }

  health(id: string): NodeHealth {
    return this.#health.get(id) ?? { state: 'unknown', contrary: 0 }
  }

  isHealthy(id: string): boolean {
    return this.health(id).state === 'healthy'
  }

  /** Resolves after the first round, so that a service that starts knows its fleet. */
  async start(): Promise<void> {
    await this.#round()
    this.#done = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#done
  }

  async #run(): Promise<void> {
    try {
      for await (const _ of every(this.#everyMs, undefined, { signal: this.#stopping.signal })) await this.#round()
    } catch (error) {
      if (!this.#stopping.signal.aborted) throw error
    }
  }

  async #round(): Promise<void> {
    await Promise.all(
      this.#nodes.map(async (node) => {
        const problem = await this.#ask(node).then(
          () => undefined,
          (error: Error) => error.message,
        )
        const before = this.health(node.id)
        const after = afterProbe(before, problem)
        this.#health.set(node.id, after)
        if (after.state !== before.state) this.#onFlip(node, after)
      }),
    )
  }
}
