import type { MemoryBody } from './memory.js'

/** Frees a body in memory when the fill has ended and its last reader has left. */
export class HeldMemory {
  body: MemoryBody | undefined
  #holds = 0
  #ended = false

  /** @returns what lets go of it; undefined when it is gone. */
  hold(): (() => void) | undefined {
    if (this.#ended && this.#holds === 0 && this.body) return undefined
    this.#holds++
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#holds--
      this.#freeUnheld()
    }
  }

  /** No more bytes come. Requests that have just been told of the fill go first: they hold what they read. */
  end(): void {
    setImmediate(() => {
      this.#ended = true
      this.#freeUnheld()
    })
  }

  #freeUnheld(): void {
    if (this.#ended && this.#holds === 0) this.body?.free()
  }
}
