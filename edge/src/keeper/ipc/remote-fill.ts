import type { Fill, FillHead, Growth } from '../contract.js'
import type { ToldState } from './messages.js'

/** A fill that runs in the keeper's process, as far as that has told of it. */
export class RemoteFill implements Fill {
  readonly head: Promise<FillHead>
  available = 0
  state: Growth['state'] = 'running'
  lost = false
  #tellHead!: (head: FillHead) => void
  #waiting: { offset: number; wake: () => void }[] = []

  constructor() {
    this.head = new Promise((resolve) => {
      this.#tellHead = resolve
    })
  }

  progress(offset: number): Promise<void> {
    if (this.available > offset || this.state !== 'running') return Promise.resolve()
    return new Promise((wake) => this.#waiting.push({ offset, wake }))
  }

  tellHead(head: FillHead): void {
    this.#tellHead(head)
  }

  grown(available: number, told: ToldState): void {
    const state = told === 'lost' ? 'broken' : told
    this.available = available
    this.state = state
    this.lost = told === 'lost'
    const waiting = this.#waiting
    this.#waiting = []
    for (const waiter of waiting) {
      if (available > waiter.offset || state !== 'running') waiter.wake()
      else this.#waiting.push(waiter)
    }
  }

  /** Nothing more will be heard of it. */
  lose(): void {
    this.#tellHead({ kind: 'failed', attempts: [] })
    this.grown(this.available, 'lost')
  }
}
