import type { OriginAnswer } from '../../origin/contract.js'

/** After so long an answer that nobody took is let go of, in milliseconds: longer than a purge that the request may wait for. */
const HELD_MS = 10_000

interface Held {
  answer: OriginAnswer
  owner: object
  worker: string
  timer: NodeJS.Timeout
}

/** Answers that may not be stored, kept for the worker whose request led to them until it takes the body. */
export class HeldAnswers {
  readonly #held = new Map<number, Held>()
  readonly #heldMs: number

  constructor(heldMs = HELD_MS) {
    this.#heldMs = heldMs
  }

  get size(): number {
    return this.#held.size
  }

  /** @param owner when it leaves, its answers go: `leave` */
  keep(fill: number, answer: OriginAnswer, { owner, worker }: { owner: object; worker: string }): void {
    const timer = setTimeout(() => this.#discard(fill), this.#heldMs)
    this.#held.set(fill, { answer, owner, worker, timer })
  }

  has(fill: number, owner: object): boolean {
    return this.#held.get(fill)?.owner === owner
  }

  /** Once. */
  take(fill: number, worker: string): OriginAnswer | undefined {
    const held = this.#held.get(fill)
    if (held?.worker !== worker) return undefined
    this.#forget(fill, held)
    return held.answer
  }

  refuse(fill: number, owner: object): void {
    if (this.has(fill, owner)) this.#discard(fill)
  }

  leave(owner: object): void {
    for (const [fill, held] of this.#held) if (held.owner === owner) this.#discard(fill)
  }

  #discard(fill: number): void {
    const held = this.#held.get(fill)
    if (!held) return
    this.#forget(fill, held)
    held.answer.discard()
  }

  #forget(fill: number, { timer }: Held): void {
    clearTimeout(timer)
    this.#held.delete(fill)
  }
}
