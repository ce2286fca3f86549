/** How many requests run at once. Each that was let in leaves exactly once, whatever becomes of it. */
export class Admission {
  #max: number
  #running = 0

  constructor(max: number) {
    this.#max = max
  }

  /** A lower limit cuts nobody off: it lets nobody in until enough have left. */
  configure(max: number): void {
    this.#max = max
  }

  /** @returns false when there are too many: then there is nothing to leave. */
  enter(): boolean {
    if (this.#running >= this.#max) return false
    this.#running++
    return true
  }

  leave(): void {
    this.#running--
  }

  get running(): number {
    return this.#running
  }
}
