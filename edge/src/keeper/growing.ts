import type { Growth } from './contract.js'

/** How far a body has come, for its readers. */
export class Growing implements Growth {
  available = 0
  state: Growth['state'] = 'running'
  #waiting: { offset: number; resolve: () => void }[] = []

  progress(offset: number): Promise<void> {
    if (this.available > offset || this.state !== 'running') return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ offset, resolve }))
  }

  /** Resolves when something has come since, written or not, or the state is final. In this process only. */
  arrival(): Promise<void> {
    if (this.state !== 'running') return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ offset: -1, resolve }))
  }

  /** A chunk has come that is not in the file yet. */
  arrived(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const waiter of waiting) {
      if (waiter.offset < 0) waiter.resolve()
      else this.#waiting.push(waiter)
    }
  }

  /** Never shrinks. */
  grow(available: number): void {
    if (available <= this.available) return
    this.available = available
    const waiting = this.#waiting
    this.#waiting = []
    for (const waiter of waiting) {
      if (waiter.offset < available) waiter.resolve()
      else this.#waiting.push(waiter)
    }
  }

  end(state: 'complete' | 'broken'): void {
    if (this.state !== 'running') return
    this.state = state
    const waiting = this.#waiting
    this.#waiting = []
    for (const { resolve } of waiting) resolve()
  }
}
