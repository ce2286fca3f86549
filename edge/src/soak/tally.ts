/** What all clients have seen. */
export class Tally {
  requests = 0
  bytes = 0
  /** By status and x-cache. */
  readonly answers = new Map<string, number>()
  /** Left early, as planned. */
  aborted = 0
  readonly broken = { inTrouble: 0, otherwise: 0 }
  /** 5xx. */
  readonly refused = { inTrouble: 0, otherwise: 0 }
  /** Wrong bytes, lengths, ranges or statuses. There must be none. */
  differences = 0
  /** The first of them, and the first of what else should not have been. */
  readonly examples: string[] = []

  answer(status: number, cache: string): void {
    const name = cache === '' ? String(status) : `${status} ${cache}`
    this.answers.set(name, (this.answers.get(name) ?? 0) + 1)
  }

  difference(text: string): void {
    this.differences++
    this.example(`difference: ${text}`)
  }

  example(text: string): void {
    if (this.examples.length < 50) this.examples.push(text)
  }

  /** Answers with this x-cache, of all. */
  share(cache: string): number {
    let sum = 0
    let matching = 0
    for (const [name, count] of this.answers) {
      sum += count
      if (name.endsWith(` ${cache}`)) matching += count
    }
    return sum === 0 ? 0 : matching / sum
  }
}
