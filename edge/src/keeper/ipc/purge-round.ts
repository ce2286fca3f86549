import { MillraceError } from '@millrace/common/errors'

export interface PurgeTimes {
  /** After so long a worker that has not confirmed is reported as late, in milliseconds. */
  lateMs: number
  /** After so long the purge is answered as incomplete, in milliseconds. */
  timeoutMs: number
}

/** One purge on its way: done when every worker that lives has confirmed it. */
export class PurgeRound {
  readonly n: number
  readonly done: Promise<number>
  readonly #waiting: Set<string>
  #confirmed = 0
  #resolve!: (confirmed: number) => void
  readonly #timers: NodeJS.Timeout[]

  /** @param onLate told once of those that are late: they serve what is purged, so they must go. */
  constructor(n: number, workers: Iterable<string>, times: PurgeTimes, onLate: (workers: string[]) => void) {
    this.n = n
    this.#waiting = new Set(workers)
    let reject!: (error: Error) => void
    this.done = new Promise((resolve, rejected) => {
      this.#resolve = resolve
      reject = rejected
    })
    this.#timers = [
      setTimeout(() => onLate([...this.#waiting]), times.lateMs),
      setTimeout(() => reject(incomplete([...this.#waiting])), times.timeoutMs),
    ]
    this.#check()
  }

  confirmed(worker: string): void {
    if (this.#waiting.delete(worker)) this.#confirmed++
    this.#check()
  }

  /** It serves nothing any more. */
  died(worker: string): void {
    this.#waiting.delete(worker)
    this.#check()
  }

  waitsFor(): string[] {
    return [...this.#waiting]
  }

  end(): void {
    for (const timer of this.#timers) clearTimeout(timer)
  }

  #check(): void {
    if (this.#waiting.size === 0) this.#resolve(this.#confirmed)
  }
}

function incomplete(workers: string[]): MillraceError {
  return new MillraceError(`the purge is in force, but not known to be so in ${workers.join(', ')}`, {
    code: 'purge-incomplete',
    source: 'internal',
    retryable: true,
    status: 503,
  })
}
