import { setImmediate as nextTurn } from 'node:timers/promises'
import { MillraceError } from '@millrace/common/errors'
import type { EntryWriter } from '../cache/store.js'
import { MemoryBody, type MemoryBudget } from './memory.js'

/** Written at once: what came in while the last write ran. */
const BATCH_BYTES = 1 << 18

/** An origin that is faster than the disk waits from here on. */
const MAX_QUEUED_BYTES = 1 << 20

export interface BodyPipeOptions {
  length: number | undefined
  /** Where the body goes on when its file fails; undefined for nowhere. */
  memory: MemoryBudget | undefined
  /** So many bytes can be read back by now. */
  onWritten: (bytes: number) => void
  /** All bytes so far, and those to come, are there from now on. */
  onMoved: (body: MemoryBody) => void
  onFault: (operation: 'write', error: unknown) => void
  /**
   * The first write waits for so many bytes; for readers that have them all in memory anyway. A body that ends before is one write to the
   * disk, with its head and its checksums, and what happens there costs no viewer time.
   */
  holdBytes: number
}

/**
 * Takes a body as it arrives and writes it behind its sender's back, one write at a time, into its file; when that fails, all of it moves to
 * memory, so that a full or broken disk costs no viewer the rest.
 */
export class BodyPipe {
  readonly #options: BodyPipeOptions
  #writer: EntryWriter | undefined
  #memory: MemoryBody | undefined
  #queue: Uint8Array[] = []
  #queued = 0
  #written = 0
  #pumping: Promise<void> | undefined
  #failure: { error: unknown } | undefined
  #wakeSender = () => {}
  #holding: boolean

  constructor(target: EntryWriter | MemoryBody, options: BodyPipeOptions) {
    this.#options = options
    this.#holding = options.holdBytes > 0 && !(target instanceof MemoryBody)
    if (target instanceof MemoryBody) this.#memory = target
    else this.#writer = target
  }

  /** The file that holds the body; undefined once it is in memory. */
  get writer(): EntryWriter | undefined {
    return this.#writer
  }

  /** What a write failed with that could not go on in memory either. */
  get failure(): unknown {
    return this.#failure?.error
  }

  /**
   * Resolves when the next chunk may come.
   *
   * @throws what a write failed with, once it could not go on in memory either
   */
  async push(chunk: Uint8Array): Promise<void> {
    // What failed has left a hole: nothing may come after it, even if there is room again by now.
    this.#throwFailure()
    this.#queue.push(chunk)
    this.#queued += chunk.length
    if (this.#queued >= this.#options.holdBytes) this.#holding = false
    this.#startPump()
    while (this.#queued >= MAX_QUEUED_BYTES && !this.#failure) {
      await new Promise<void>((resolve) => {
        this.#wakeSender = resolve
      })
    }
    this.#throwFailure()
  }

  /** All chunks, when no write was begun: they are the caller's to write from now on. */
  takeHeld(): Uint8Array[] | undefined {
    if (!this.#holding) return undefined
    const held = this.#queue
    this.#queue = []
    this.#queued = 0
    return held
  }

  /** Resolves when everything is written. @throws as `push` does */
  async drained(): Promise<void> {
    this.#holding = false
    this.#startPump()
    await this.#pumping
    this.#throwFailure()
  }

  /** Resolves when nothing is being written any more, well or not. What is held back is left. */
  async settled(): Promise<void> {
    await this.#pumping
  }

  async readBack(start: number, end: number): Promise<Uint8Array> {
    await this.drained()
    return this.#memory ? this.#memory.slice(start, end) : this.#writer!.readBack(start, end)
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error
  }

  #startPump(): void {
    if (this.#holding || this.#queue.length === 0) return
    this.#pumping ??= this.#pump()
  }

  async #pump(): Promise<void> {
    try {
      while (this.#queue.length > 0) {
        const batch = this.#takeBatch()
        await this.#write(batch)
        const bytes = lengthOf(batch)
        this.#written += bytes
        this.#queued -= bytes
        this.#options.onWritten(this.#written)
        this.#wakeSender()
      }
    } catch (error) {
      this.#failure = { error }
      this.#queue = []
      this.#queued = 0
    } finally {
      this.#pumping = undefined
      this.#wakeSender()
    }
  }

  #takeBatch(): Uint8Array[] {
    let bytes = 0
    let count = 0
    while (count < this.#queue.length && (count === 0 || bytes + this.#queue[count]!.length <= BATCH_BYTES)) {
      bytes += this.#queue[count++]!.length
    }
    return this.#queue.splice(0, count)
  }

  async #write(batch: readonly Uint8Array[]): Promise<void> {
    if (this.#memory) {
      for (const chunk of batch) this.#memory.append(chunk)
      // Copying is quick, and must not keep the loop from everybody else's events.
      await nextTurn()
      return
    }
    try {
      const writer = this.#writer!
      // The writer takes together what is there when it begins; all of it has ended before anything else is done.
      const results = await Promise.allSettled(batch.map((chunk) => writer.write(chunk)))
      for (const result of results) if (result.status === 'rejected') throw result.reason
    } catch (error) {
      // That there is no room is no fault of the disk.
      if (!(error instanceof MillraceError)) this.#options.onFault('write', error)
      await this.#move(batch, error)
    }
  }

  async #move(batch: readonly Uint8Array[], reason: unknown): Promise<void> {
    const { memory: budget, length, onMoved, onFault } = this.#options
    const memory = budget && MemoryBody.reserve(budget, length)
    if (!memory) throw reason
    const writer = this.#writer!
    try {
      for (let at = 0; at < this.#written; at += BATCH_BYTES) {
        memory.append(await writer.readBack(at, Math.min(at + BATCH_BYTES, this.#written)))
      }
      for (const chunk of batch) memory.append(chunk)
    } catch (error) {
      memory.free()
      throw error
    }
    this.#memory = memory
    this.#writer = undefined
    onMoved(memory)
    try {
      await writer.discard()
    } catch (error) {
      onFault('write', error)
    }
  }
}

function lengthOf(chunks: readonly Uint8Array[]): number {
  let bytes = 0
  for (const chunk of chunks) bytes += chunk.length
  return bytes
}
