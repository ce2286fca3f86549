import { LogCopy } from './log-copy.js'
import { latest, type ReadLog } from './log-file.js'
import { formatRecord, type PurgeRecord, type PurgeScope } from './record.js'
import type { PurgeTable } from './table.js'

/** Less than a worker has to confirm a purge. */
const COPY_TIMEOUT_MS = 2000

export interface PurgeLogOptions {
  /** Cache disks, by their configured path; each gets a copy. */
  disks: readonly string[]
  /** What the log says is put in here, and every purge that is added. */
  table: PurgeTable
  now: () => number
  /** Disks that are out are left alone: their copies are written anew by `catchUp`. */
  isOut?: (disk: string) => boolean
  /** Records that a copy had which could not be read before: they are in the table now, and others are to be told. */
  onFound?: (records: readonly PurgeRecord[]) => void
  /** A copy that could not be read or written; the others go on, and it is written anew with the next purge. */
  onFault: (disk: string, error: unknown) => void
  /** For how long a copy is waited for. */
  copyTimeoutMs?: number
}

/** A purge that is in force in the table. */
export interface AddedPurge {
  record: PurgeRecord
  /** Whether a copy has it on its disk; false when none has: a restart would forget it. Never rejects. */
  saved: Promise<boolean>
}

/**
 * The purges on disk. Every disk has a copy, so that losing one loses no purge.
 *
 * Numbers are `max(last + 1, Unix milliseconds)`. They never go back while one copy survives, and where none does they go on above every
 * number given out before, as far as the clock was not set back by more than the edge's age. That matters because entries outlive a lost
 * log: a log begins with a purge of everything at the time it was begun, so whatever was stored under an older log counts as purged. An
 * edge that lost its purges fetches its cache again; it doesn't serve what was withdrawn. A new edge has nothing to lose by it.
 *
 * A disk that was out during a purge, and at the next start is the only one that can be read, knows nothing of it: not before the other
 * is back, whose copy is read before it is written.
 */
export class PurgeLog {
  readonly #copies: LogCopy[]
  readonly #options: PurgeLogOptions
  /** Whether it has its beginning: from a copy, or as a purge of everything. */
  #begun = false

  private constructor(options: PurgeLogOptions) {
    this.#options = options
    const { table, isOut = () => false, onFault, copyTimeoutMs = COPY_TIMEOUT_MS } = options
    this.#copies = options.disks.map((disk) => {
      const copy: LogCopy = new LogCopy({
        disk,
        isOut: () => isOut(disk),
        timeoutMs: copyTimeoutMs,
        table,
        found: (log) => this.#found(copy, log),
        onFault: (error) => onFault(disk, error),
      })
      return copy
    })
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

  /** Gives a purge its number, puts it in force in the table, and writes it down. Whatever the disks say or do: it is in force. */
  add(scope: PurgeScope): AddedPurge {
    const record: PurgeRecord = { n: this.#nextNumber(), ...scope }
    this.#options.table.apply(record)
    const written = Promise.all(this.#copies.map((copy) => copy.write(record)))
    return { record, saved: written.then((saved) => saved.includes(true)) }
  }

  /** Before a disk is used again: takes over its copy, if that could not be read yet. @throws the disk's error */
  async readmit(disk: string): Promise<void> {
    await this.#copies.find((copy) => copy.disk === disk)?.readmit()
  }

  /** Writes those copies anew that lack something: for a disk that is back. */
  async catchUp(): Promise<void> {
    await Promise.all(this.#copies.map((copy) => copy.catchUp()))
    // What one of them had that was not known, the others lacked.
    await Promise.all(this.#copies.map((copy) => copy.catchUp()))
  }

  async close(): Promise<void> {
    await Promise.all(this.#copies.map((copy) => copy.close()))
  }

  async #load(): Promise<'new' | 'damaged' | undefined> {
    const { table } = this.#options
    const read = await Promise.all(this.#copies.map((copy) => copy.load()))
    const logs = read.filter((log) => log !== undefined)
    // All copies together: to purge too much does no harm.
    for (const { records } of logs) for (const record of records) table.apply(record)
    const last = table.generation
    const known = logs.some((log) => !log.damaged && latest(log.records) === last && last > 0)
    // While no disk is in, there is nothing to be served: the first that comes has the log, or there is none.
    this.#begun = known || this.#copies.some((copy) => copy.known)
    if (this.#begun && !known) table.apply({ n: this.#nextNumber(), scope: 'all' })
    for (const [index, copy] of this.#copies.entries()) {
      const log = read[index]
      if (known && log?.clean && latest(log.records) === last) copy.goOn(log)
    }
    await this.catchUp()
    if (known || !this.#begun) return undefined
    return logs.length > 0 ? 'damaged' : 'new'
  }

  /** Of a copy that could not be read at the start. */
  #found(copy: LogCopy, log: ReadLog | undefined): void {
    const { table, onFound } = this.#options
    const { records = [], damaged = false } = log ?? {}
    const { generation } = table
    const known = new Set(table.records().map(formatRecord))
    for (const record of records) table.apply(record)
    const news = table.records().filter((record) => !known.has(formatRecord(record)))
    const add = (scope: PurgeScope | PurgeRecord) => {
      const record: PurgeRecord = { ...scope, n: this.#nextNumber() }
      table.apply(record)
      news.push(record)
    }
    // What is not in it is not known.
    if (damaged || (records.length === 0 && !this.#begun)) add({ scope: 'all' })
    // What was looked at up to the latest number is looked at again only for a later one.
    else if (news.length > 0 && latest(news) <= generation) add(news.findLast(({ scope }) => scope !== 'all') ?? news[0]!)
    this.#begun = true
    if (news.length === 0) return
    onFound?.(news)
    for (const other of this.#copies) if (other !== copy) other.fallBehind()
  }

  /** Above every number so far. */
  #nextNumber(): number {
    return Math.max(this.#options.table.generation + 1, this.#options.now())
  }
}
