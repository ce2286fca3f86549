/** A bounded number of things at once; those who wait get theirs in order of arrival. */
export class Slots {
  readonly #size: number
  readonly #waiting = new Set<() => void>()
  #used = 0

  constructor(size: number) {
    this.#size = size
  }

  /** @returns whether there is a slot now, after at most `timeoutMs`; to be given back by `release`. */
  async acquire(timeoutMs: number, signals: readonly AbortSignal[]): Promise<boolean> {
    if (signals.some((signal) => signal.aborted)) return false
    if (this.#used < this.#size) {
      this.#used++
      return true
    }
    return new Promise<boolean>((resolve) => {
      const settle = (got: boolean) => {
        clearTimeout(timer)
        for (const signal of signals) signal.removeEventListener('abort', leave)
        this.#waiting.delete(take)
        resolve(got)
      }
      const take = () => settle(true)
      const leave = () => settle(false)
      const timer = setTimeout(leave, timeoutMs)
      for (const signal of signals) signal.addEventListener('abort', leave, { once: true })
      this.#waiting.add(take)
    })
  }

  release(): void {
    const [next] = this.#waiting
    if (next) next()
    else this.#used--
  }
}
