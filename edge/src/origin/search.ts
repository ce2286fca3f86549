import type { Attempt, AttemptOutcome, Fetched, OriginAnswer } from './contract.js'

/** What one origin gave, judged. */
export type Judged = { outcome: 'ok'; answer: OriginAnswer } | { outcome: Exclude<AttemptOutcome, 'ok'> }

/** What a search needs of those who do the asking. */
export interface Asking {
  /** The route's origins, first to ask first. */
  order: readonly string[]
  /** Those to ask once when `order` is exhausted; asked for only then. */
  beyond: () => readonly string[]
  /** 0: never. */
  hedgeAfterMs: number
  /** Reports the attempt, except one that `stop` or `signal` ended; lets go of every answer that isn't ok. */
  ask: (origin: string, stop: AbortSignal | undefined) => Promise<Judged>
  /** Whether the request may be sent once more, as things are now. */
  repeatable: () => boolean
  /** Whether a retry may be sent. `gentle`: of those that needn't be, so that they leave something to the others. */
  retry: (gentle: boolean) => boolean
  onHedge: (outcome: HedgeOutcome) => void
  /** The second one asked had an answer before this one had a byte. */
  onOutrun: (origin: string) => void
  onBudgetSpent: () => void
  signal: AbortSignal
}

/** A metrics label. */
export const HEDGE_OUTCOMES = ['won', 'lost', 'failed'] as const
export type HedgeOutcome = (typeof HEDGE_OUTCOMES)[number]

interface Running {
  origin: string
  hedge: boolean
  judged: Promise<{ running: Running; judged: Judged }>
  /** Only where there may be a second one to stop it for. */
  stop: AbortController | undefined
}

/** Asks origins until one has an answer: one after the other, and for a slow first one a second beside it. */
export class Search {
  readonly #asking: Asking
  readonly #attempts: Attempt[] = []
  readonly #running = new Set<Running>()
  #queue: string[]
  #wentBeyond = false

  constructor(asking: Asking) {
    this.#asking = asking
    this.#queue = [...asking.order]
  }

  /** @throws what asking throws. */
  async run(): Promise<Fetched> {
    const { hedgeAfterMs, signal, repeatable, onHedge, onOutrun } = this.#asking
    let next = this.#queue.length > 0 ? this.#queue.shift() : this.#beyond() && this.#queue.shift()
    while (next !== undefined && !signal.aborted) {
      this.#start(next, false)
      if (this.#attempts.length === 0 && hedgeAfterMs > 0 && this.#queue.length > 0 && repeatable()) await this.#hedge(hedgeAfterMs)
      while (this.#running.size > 0) {
        const { running, judged } = await this.#settled()
        this.#attempts.push({ origin: running.origin, outcome: judged.outcome })
        if (judged.outcome === 'ok') {
          const other = this.#stopAll()
          if (running.hedge || other?.hedge) onHedge(running.hedge ? 'won' : 'lost')
          if (running.hedge && other) onOutrun(other.origin)
          return { ok: true, answer: judged.answer, attempts: this.#attempts }
        }
        if (running.hedge) onHedge('failed')
      }
      next = this.#next()
    }
    return { ok: false, attempts: this.#attempts }
  }

  #start(origin: string, hedge: boolean): void {
    const stop = this.#asking.hedgeAfterMs > 0 ? new AbortController() : undefined
    const running: Running = {
      origin,
      hedge,
      stop,
      judged: this.#asking.ask(origin, stop?.signal).then((judged) => ({ running, judged })),
    }
    this.#running.add(running)
  }

  /** The first of those that run to be done. @throws what asking throws, when the other one is stopped too */
  async #settled(): Promise<{ running: Running; judged: Judged }> {
    try {
      const first = await Promise.race([...this.#running].map((running) => running.judged))
      this.#running.delete(first.running)
      return first
    } catch (error) {
      this.#stopAll()
      throw error
    }
  }

  /** Waits for the one that runs, or until it has taken too long: then the next one is asked too. */
  async #hedge(afterMs: number): Promise<void> {
    const [first] = this.#running
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(true), afterMs)
    })
    const settled = first!.judged.then(
      () => false,
      () => false,
    )
    const hedge = await Promise.race([late, settled])
    clearTimeout(timer)
    if (!hedge || this.#asking.signal.aborted || !this.#asking.repeatable()) return
    if (!this.#asking.retry(true)) return
    this.#start(this.#queue.shift()!, true)
  }

  /** Whom to ask after all that were asked have failed. */
  #next(): string | undefined {
    const { signal, repeatable, retry, onBudgetSpent } = this.#asking
    if (signal.aborted || !repeatable()) return undefined
    const within = this.#queue[0]
    const next = within ?? this.#beyond()
    if (next === undefined) return undefined
    const allMissing = this.#attempts.every((attempt) => attempt.outcome === 'missing')
    // A replica that isn't there costs its origin next to nothing, and is no sign of trouble: the route's next one is asked freely.
    // Beyond the route a clean 404 is an answer already, so that looking further must leave retries to those who have none.
    const free = within !== undefined && !this.#wentBeyond && this.#attempts.at(-1)?.outcome === 'missing'
    if (!free && !retry(allMissing)) {
      onBudgetSpent()
      if (!allMissing || !this.#wentBeyond) this.#attempts.push({ origin: next, outcome: 'retry-budget' })
      return undefined
    }
    this.#queue.shift()
    return next
  }

  /** The first of those beyond the route, which are the queue from now on. */
  #beyond(): string | undefined {
    if (this.#wentBeyond) return undefined
    this.#wentBeyond = true
    this.#queue = [...this.#asking.beyond()]
    return this.#queue[0]
  }

  /** @returns one that was running */
  #stopAll(): Running | undefined {
    const [one] = this.#running
    for (const running of this.#running) {
      running.stop?.abort()
      // Nobody waits for it any more: an answer that came all the same is let go of.
      void running.judged.then(
        ({ judged }) => {
          if (judged.outcome === 'ok') judged.answer.discard()
        },
        () => undefined,
      )
    }
    this.#running.clear()
    return one
  }
}
