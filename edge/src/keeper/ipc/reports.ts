/** Sent after so many distinct hashes, or after so long. */
const BATCH = 512
const BATCH_MS = 100
/** What is kept while the keeper is away; beyond it reports are dropped: the order of use is a little less right then, no more. */
const MAX_KEPT = 100_000

export interface ReportSender {
  used: (hashes: string[]) => void
  damaged: (entries: [hash: string, id: string][]) => void
}

/** Gathers what workers report of entries, each entry once per batch, so that a hit costs its keeper next to nothing. */
export class Reports {
  readonly #send: ReportSender
  #used = new Set<string>()
  /** Hash to id. */
  #damaged = new Map<string, string>()
  #timer: NodeJS.Timeout | undefined
  #open = false

  constructor(send: ReportSender) {
    this.#send = send
  }

  used(hash: string): void {
    if (this.#used.size >= MAX_KEPT) return
    this.#used.add(hash)
    if (this.#open) this.#due(this.#used.size)
  }

  damaged(hash: string, id: string): void {
    if (this.#damaged.size >= MAX_KEPT) return
    this.#damaged.set(hash, id)
    if (this.#open) this.#due(this.#damaged.size)
  }

  /** The keeper is there: from now on batches are sent. */
  resume(): void {
    this.#open = true
    this.#flush()
  }

  /** The keeper is away. */
  pause(): void {
    this.#open = false
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #due(size: number): void {
    if (size >= BATCH) this.#flush()
    else this.#timer ??= setTimeout(() => this.#flush(), BATCH_MS)
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#damaged.size > 0) {
      for (const batch of inBatches([...this.#damaged])) this.#send.damaged(batch)
      this.#damaged = new Map()
    }
    if (this.#used.size > 0) {
      for (const batch of inBatches([...this.#used])) this.#send.used(batch)
      this.#used = new Set()
    }
  }
}

function* inBatches<T>(items: T[]): Iterable<T[]> {
  for (let at = 0; at < items.length; at += BATCH) yield items.slice(at, at + BATCH)
}
