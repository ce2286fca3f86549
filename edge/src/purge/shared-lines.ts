/**
 * Lines that are made as they are read, and once for all who read them: making all of them at once would hold up everything else of this
 * process.
 */
export class SharedLines implements Iterable<string> {
  readonly #source: Iterator<string>
  readonly #lines: string[] = []

  constructor(source: Iterator<string>) {
    this.#source = source
  }

  *[Symbol.iterator](): Generator<string, void> {
    for (let at = 0; ; at++) {
      if (at === this.#lines.length) {
        const next = this.#source.next()
        if (next.done) return
        this.#lines.push(next.value)
      }
      yield this.#lines[at]!
    }
  }
}
