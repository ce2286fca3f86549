import { join } from 'node:path'
import { LogFile, type ReadLog } from './log-file.js'
import type { PurgeRecord, PurgeScope } from './record.js'
import type { PurgeTable } from './table.js'

export const LOG_NAME = 'purges.jsonl'

export interface PurgeLogOptions {
  /** Cache disks, by their configured path; each gets a copy. */
  disks: readonly string[]
  /** What the log says is put in here, and every purge that is added. */
  table: PurgeTable
  now: () => number
  /** Disks that are out are left alone: their copies are written anew by `catchUp`. */
  isOut?: (disk: string) => boolean
  /** A copy that could not be read or written; the others go on, and it is written anew with the next purge. */
  onFault: (disk: string, error: unknown) => void
}

interface Copy {
  disk: string
  file: LogFile
}

/** A copy is compacted when it has more than twice as many lines as are still needed, and this many. */
const COMPACT_FROM = 1024

/**
 * The purges on disk. Every disk has a copy, so that losing one loses no purge. A copy that has record n has all before it that are still
 * needed: one that missed a record is written anew before it takes another.
 *
 * Numbers are `max(last + 1, Unix milliseconds)`. They never go back while one copy survives, and where none does they go on above every
 * number given out before, as far as the clock was not set back by more than the edge's age. That matters because entries outlive a lost
 * log: a log begins with a purge of everything at the time it was begun, so whatever was stored under an older log counts as purged. An
 * edge that lost its purges fetches its cache again; it doesn't serve what was withdrawn. A new edge has nothing to lose by it.
 *
 * What this doesn't see: a disk that was out during a purge, and at the next start is the only one left.
 */
export class PurgeLog {
  readonly #copies: Copy[]
  readonly #table: PurgeTable
  readonly #now: () => number
  readonly #isOut: (disk: string) => boolean
  readonly #onFault: (disk: string, error: unknown) => void
  /** Writes go one after the other. */
  #tail: Promise<unknown> = Promise.resolve()

  private constructor(options: PurgeLogOptions) {
    this.#copies = options.disks.map((disk) => ({ disk, file: new LogFile(join(disk, LOG_NAME)) }))
    this.#table = options.table
    this.#now = options.now
    this.#isOut = options.isOut ?? (() => false)
    this.#onFault = options.onFault
  }

  /**
   * Reads every copy into the table and brings those that lack something up to date. The folders exist.
   *
   * @returns also whether purges may have been lost, and with them the whole cache; for a log line.
   */
  static async open(options: PurgeLogOptions): Promise<{ log: PurgeLog; startedOver: 'new' | 'damaged' | undefined }> {
    const log = new PurgeLog(options)
    return { log, startedOver: await log.#load() }
  }

  /**
   * Gives a purge its number, writes it down and puts it in force in the table.
   *
   * @returns when every copy that can be written has it on its disk; `saved` is false when none has: a restart would forget it.
   */
  add(scope: PurgeScope): Promise<{ record: PurgeRecord; saved: boolean }> {
    return this.#inTurn(async () => {
      const record: PurgeRecord = { n: this.#nextNumber(), ...scope }
      const saved = await Promise.all(this.#copies.map((copy) => this.#write(copy, record)))
      // Whatever the disks say: what was withdrawn is not served meanwhile.
      this.#table.apply(record)
      return { record, saved: saved.includes(true) }
    })
  }

  /** Writes those copies anew that lack something: for a disk that is back. */
  catchUp(): Promise<void> {
    return this.#inTurn(async () => {
      const behind = this.#copies.filter(({ disk, file }) => !file.complete && !this.#isOut(disk))
      await Promise.all(behind.map((copy) => this.#rewrite(copy, this.#table.records())))
    })
  }

  async close(): Promise<void> {
    await this.#inTurn(() => Promise.all(this.#copies.map((copy) => copy.file.close())))
  }

  async #load(): Promise<'new' | 'damaged' | undefined> {
    const read = await Promise.all(this.#copies.map((copy) => this.#read(copy)))
    const logs = read.filter((log) => log !== undefined)
    // All copies together: to purge too much does no harm.
    for (const { records } of logs) for (const record of records) this.#table.apply(record)
    const latest = this.#table.generation
    const known = logs.some((log) => !log.damaged && lastNumber(log) === latest && latest > 0)
    if (!known) this.#table.apply({ n: this.#nextNumber(), scope: 'all' })
    for (const [index, copy] of this.#copies.entries()) {
      const log = read[index]
      if (known && log?.clean && lastNumber(log) === latest) copy.file.goOn(log.records.length)
    }
    await this.catchUp()
    if (known) return undefined
    return logs.length > 0 ? 'damaged' : 'new'
  }

  /** Above every number so far. */
  #nextNumber(): number {
    return Math.max(this.#table.generation + 1, this.#now())
  }

  async #read({ disk, file }: Copy): Promise<ReadLog | undefined> {
    try {
      return await file.read()
    } catch (error) {
      this.#onFault(disk, error)
      return undefined
    }
  }

  async #write(copy: Copy, record: PurgeRecord): Promise<boolean> {
    const { disk, file } = copy
    if (this.#isOut(disk)) {
      await this.#fallBehind(copy)
      return false
    }
    if (!file.complete || file.lines + 1 > Math.max(COMPACT_FROM, 2 * this.#table.size)) {
      return this.#rewrite(copy, [...this.#table.records(), record])
    }
    try {
      await file.append(record)
      return true
    } catch (error) {
      this.#onFault(disk, error)
      await this.#fallBehind(copy)
      return false
    }
  }

  async #rewrite(copy: Copy, records: readonly PurgeRecord[]): Promise<boolean> {
    try {
      await copy.file.rewrite(records)
      return true
    } catch (error) {
      this.#onFault(copy.disk, error)
      await this.#fallBehind(copy)
      return false
    }
  }

  async #fallBehind({ disk, file }: Copy): Promise<void> {
    await file.fallBehind().catch((error: unknown) => this.#onFault(disk, error))
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(run)
    this.#tail = done.catch(() => undefined)
    return done
  }
}

function lastNumber({ records }: ReadLog): number {
  return records.reduce((last, { n }) => Math.max(last, n), 0)
}
