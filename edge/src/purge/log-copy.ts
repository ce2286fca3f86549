import { join } from 'node:path'
import { MillraceError } from '@millrace/common/errors'
import { LogFile, type ReadLog } from './log-file.js'
import type { PurgeRecord } from './record.js'
import type { PurgeTable } from './table.js'

export const LOG_NAME = 'purges.jsonl'

/** A copy is compacted when it has more than twice as many lines as are still needed, and this many. */
const COMPACT_FROM = 1024

export interface LogCopyOptions {
  /** The disk, by its configured path. */
  disk: string
  isOut: () => boolean
  /** For how long a write is waited for; the copy has fallen behind then. */
  timeoutMs: number
  /** All that is in force, and with it what `write` is given. */
  table: Pick<PurgeTable, 'records' | 'size'>
  /** Takes over what a copy holds that could not be read before; undefined for nothing. Called before the copy is overwritten. */
  found: (log: ReadLog | undefined) => void
  onFault: (error: unknown) => void
}

/**
 * The purge log of one disk. A copy that has record n has all before it that are still needed: one that missed a record is written anew
 * before it takes another. One that was never read is read before, since it may be the only one that has a record.
 */
export class LogCopy {
  readonly disk: string
  readonly #file: LogFile
  readonly #options: LogCopyOptions
  #known = false
  /** What was asked of it goes one after the other. */
  #tail: Promise<unknown> = Promise.resolve()
  #pending: PurgeRecord[] = []
  /** Something is being waited for longer than is allowed. */
  #hangs = false

  constructor(options: LogCopyOptions) {
    this.disk = options.disk
    this.#file = new LogFile(join(options.disk, LOG_NAME))
    this.#options = options
  }

  /** Whether what it holds, if anything, is in force. */
  get known(): boolean {
    return this.#known
  }

  /** Reads it for the first time. @returns undefined when there is none, or it can't be read. */
  async load(): Promise<ReadLog | undefined> {
    try {
      const log = await this.#file.read()
      // Where the disk is out, this may be the folder below its mount point.
      this.#known = !this.#options.isOut()
      return log
    } catch (error) {
      this.#options.onFault(error)
      return undefined
    }
  }

  /** What `load` gave is all there is to have: it can be appended to. */
  goOn(log: ReadLog): void {
    this.#file.goOn(log)
  }

  /** It lacks a record that is in force now. */
  fallBehind(): void {
    this.#file.lack()
  }

  /** Takes over what it holds, if that is not known yet. @throws the disk's error */
  readmit(): Promise<void> {
    return this.#inTurn(() => this.#learn())
  }

  /** @returns whether it has the record on its disk; false also when that takes too long. */
  write(record: PurgeRecord): Promise<boolean> {
    if (this.#hangs) return Promise.resolve(false)
    this.#pending.push(record)
    return this.#inTime(() => this.#flush(record))
  }

  /** Writes it anew when it lacks something. */
  async catchUp(): Promise<void> {
    if (!this.#hangs) await this.#inTime(() => this.#flush())
  }

  async close(): Promise<void> {
    if (!this.#hangs) await this.#inTurn(() => this.#file.close())
  }

  /** Records that wait are written together. */
  async #flush(record?: PurgeRecord): Promise<boolean> {
    const batch = this.#pending
    this.#pending = []
    const file = this.#file
    const { table, isOut, onFault } = this.#options
    try {
      if (isOut()) {
        await file.fallBehind()
        return false
      }
      // It went with an earlier one.
      if (file.complete && (record === undefined || file.last >= record.n)) return true
      if (file.complete && file.lines + batch.length <= Math.max(COMPACT_FROM, 2 * table.size)) await file.append(batch)
      else {
        await this.#learn()
        await file.rewrite(table.records())
      }
      return true
    } catch (error) {
      onFault(error)
      await file.fallBehind().catch(onFault)
      return false
    }
  }

  async #learn(): Promise<void> {
    if (this.#known) return
    const log = await this.#file.read()
    this.#known = true
    this.#options.found(log)
  }

  /** @param work never rejects */
  #inTime(work: () => Promise<boolean>): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#late()
        resolve(false)
      }, this.#options.timeoutMs)
      void this.#inTurn(work).then((done) => {
        clearTimeout(timer)
        resolve(done)
      })
    })
  }

  /** A disk that hangs is to hold up no purge: what is added meanwhile this copy lacks. It is written anew when all that hangs has ended. */
  #late(): void {
    if (this.#hangs) return
    this.#hangs = true
    const { disk, timeoutMs, onFault } = this.#options
    onFault(
      new MillraceError(`${disk} did not take a purge within ${timeoutMs} ms`, { code: 'purge-log-late', source: 'disk', retryable: true }),
    )
    void this.#inTurn(() => {
      this.#hangs = false
      this.#file.lack()
      return this.#flush()
    })
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(run)
    this.#tail = done.catch(() => undefined)
    return done
  }
}
