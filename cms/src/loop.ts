/** A piece of level-triggered work: run at once, then every so often, never twice at a time; a failed round is told and tried again. */
export class Loop {
  readonly #run: () => Promise<void>
  readonly #everyMs: number
  readonly #onError: (error: unknown) => void
  #timer: NodeJS.Timeout | undefined
  #current: Promise<void> | undefined
  #again = false
  #stopped = false

  constructor(options: { run: () => Promise<void>; everyMs: number; onError: (error: unknown) => void }) {
    this.#run = options.run
    this.#everyMs = options.everyMs
    this.#onError = options.onError
  }

  /** Also the way to say "look now": a round that is under way is followed by another. */
  poke(): void {
    if (this.#stopped) return
    if (this.#current) {
      this.#again = true
      return
    }
    clearTimeout(this.#timer)
    this.#current = this.#run()
      .catch(this.#onError)
      .finally(() => {
        this.#current = undefined
        if (this.#stopped) return
        const again = this.#again
        this.#again = false
        this.#timer = setTimeout(() => this.poke(), again ? 0 : this.#everyMs)
      })
  }

  /** Waits for the round that is under way. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#current
  }
}
