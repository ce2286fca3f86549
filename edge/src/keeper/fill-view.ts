import type { Fill, FillHead } from './contract.js'

/** A fill as some of its requests see it: with a head of their own. */
export class FillView implements Fill {
  readonly head: Promise<FillHead>
  readonly #fill: Fill

  constructor(fill: Fill, head: Promise<FillHead>) {
    this.#fill = fill
    this.head = head
  }

  get available(): number {
    return this.#fill.available
  }

  get state(): Fill['state'] {
    return this.#fill.state
  }

  get moved(): Fill['moved'] {
    return this.#fill.moved
  }

  get lost(): boolean {
    return this.#fill.lost ?? false
  }

  get recent(): Fill['recent'] {
    return this.#fill.recent
  }

  arrival(): Promise<void> {
    return this.#fill.arrival?.() ?? Promise.resolve()
  }

  beforeGone(open: () => Promise<void>): () => void {
    return this.#fill.beforeGone?.(open) ?? (() => undefined)
  }

  progress(offset: number): Promise<void> {
    return this.#fill.progress(offset)
  }

  hold(): (() => void) | undefined {
    // A fill without it keeps nothing that could go.
    return this.#fill.hold ? this.#fill.hold() : () => undefined
  }
}

/** A head for those who didn't lead: an answer that is not to be stored is the leader's alone. */
export function forOthers(head: FillHead): FillHead {
  return head.kind === 'pass' ? { kind: 'pass', reason: head.reason } : head
}
