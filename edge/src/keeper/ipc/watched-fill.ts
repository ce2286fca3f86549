import type { Fill, FillHead, Growth } from '../contract.js'
import type { ToldState } from './messages.js'

/** Who is told of a fill. `touched`: there is something new to tell, at the time that suits. */
export interface FillSubscriber {
  touched(fill: WatchedFill): void
}

/**
 * A fill whose growth is followed once, for all workers that joined it. It queues nothing: a subscriber reads head, offset and state when
 * it has room to tell them, so that one who doesn't read only makes the latest offset wait.
 */
export class WatchedFill {
  readonly id: number
  readonly fill: Fill
  /** Once it is known. */
  head: FillHead | undefined
  #failed = false
  readonly #subscribers = new Set<FillSubscriber>()

  constructor(id: number, fill: Fill) {
    this.id = id
    this.fill = fill
  }

  /** Without a body to come there is nothing to follow, even if the fill itself goes on for others. */
  get state(): Growth['state'] {
    return this.#failed || (this.head && this.head.kind !== 'ready') ? 'broken' : this.fill.state
  }

  get told(): ToldState {
    const { state } = this
    return state === 'broken' && this.fill.lost ? 'lost' : state
  }

  subscribe(subscriber: FillSubscriber): void {
    this.#subscribers.add(subscriber)
    if (this.head) subscriber.touched(this)
  }

  unsubscribe(subscriber: FillSubscriber): void {
    this.#subscribers.delete(subscriber)
  }

  /** Ends when the fill is final and its subscribers were touched a last time. A fill that fails to tell is broken for them. */
  async watch(): Promise<void> {
    const { fill } = this
    try {
      this.head = await fill.head
      if (this.state === 'running') this.#touch()
      while (this.state === 'running') {
        await fill.progress(fill.available)
        this.#touch()
      }
    } catch (error) {
      this.#failed = true
      this.head ??= { kind: 'pass', reason: 'not-now' }
      throw error
    } finally {
      this.#touch()
    }
  }

  #touch(): void {
    for (const subscriber of this.#subscribers) subscriber.touched(this)
  }
}
