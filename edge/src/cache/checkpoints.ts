import { rm } from 'node:fs/promises'
import { loadCheckpoint, writeCheckpoint } from './checkpoint.js'
import { isDiskError } from './disk-errors.js'
import type { DiskFolder } from './disk-folder.js'
import type { DiskIndex } from './index.js'

export interface CheckpointsOptions {
  folder: DiskFolder
  index: DiskIndex
  /** Between two of them. */
  everyMs: number
  /** Whether one can be written, and would tell the order of use. */
  wanted: () => boolean
  fault: (error: unknown) => void
}

/** Writes the order of use of one disk now and then, one checkpoint at a time. */
export class Checkpoints {
  readonly #options: CheckpointsOptions
  #writing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: CheckpointsOptions) {
    this.#options = options
  }

  /**
   * The order of use as an earlier process left it. One that can't be read is only an order that is lost: it goes.
   *
   * @returns when it was begun, in Unix milliseconds; undefined when there is none
   * @throws what is not the disk's fault: then there may be one
   */
  async load(): Promise<number | undefined> {
    const { folder, index, fault } = this.#options
    try {
      return await loadCheckpoint(folder.layout, index)
    } catch (error) {
      if (!isDiskError(error)) throw error
      fault(error)
      await rm(folder.layout.index, { recursive: true, force: true })
      return undefined
    }
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.#write(), this.#options.everyMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Writes the last one. */
  async close(): Promise<void> {
    this.stop()
    await this.#writing
    await this.#write()
  }

  async #write(): Promise<void> {
    const { folder, index, wanted, fault } = this.#options
    if (this.#writing || !wanted()) return
    this.#writing = folder.withTmp('index', (tmp) => writeCheckpoint(folder.layout, index, tmp)).catch(fault)
    await this.#writing
    this.#writing = undefined
  }
}
