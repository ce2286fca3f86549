import { type FileHandle, open, readFile, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { formatRecord, type PurgeRecord, parseRecord } from './record.js'

/** What one copy of the log holds. */
export interface ReadLog {
  records: PurgeRecord[]
  /** Whether it can be appended to as it is. */
  clean: boolean
  /** A record before its end can't be read: it is not known what was purged. */
  damaged: boolean
}

/**
 * One copy of the purge log, in lines of `<CRC-32 of the JSON, 8 hex digits> <JSON of a record>`. What follows the last line feed is an
 * append that a crash cut off: nobody was told that it succeeded.
 */
export class LogFile {
  readonly path: string
  #file: FileHandle | undefined
  /** Lines in the file; undefined when it lacks something or ends in a torn line, so that it has to be written anew. */
  #lines: number | undefined
  #last = 0

  constructor(path: string) {
    this.path = path
  }

  /** Whether it has everything that was ever added to the log. */
  get complete(): boolean {
    return this.#lines !== undefined
  }

  get lines(): number {
    return this.#lines ?? 0
  }

  /** The number of its latest record. */
  get last(): number {
    return this.#last
  }

  /** @returns undefined when there is none. @throws the disk's error, also when there is no folder. */
  async read(): Promise<ReadLog | undefined> {
    let text: string
    try {
      text = await readFile(this.path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      await stat(dirname(this.path))
      return undefined
    }
    return parseLog(text)
  }

  /** What was read is all there is to have: `append` may go on behind it. */
  goOn(log: ReadLog): void {
    this.#lines = log.records.length
    this.#last = latest(log.records)
  }

  /** It lacks a record from now on; the next write is a whole one. */
  lack(): void {
    this.#lines = undefined
  }

  /** It lacks a record from now on, and takes none. */
  async fallBehind(): Promise<void> {
    this.lack()
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }

  /** On the disk, not only with the kernel, when it resolves. */
  async append(records: readonly PurgeRecord[]): Promise<void> {
    this.#file ??= await open(this.path, 'a', 0o600)
    await this.#file.appendFile(records.map(formatLine).join(''))
    await this.#file.datasync()
    this.#lines = this.lines + records.length
    this.#last = latest(records, this.#last)
  }

  /** Puts a whole log in the place of the old one, in one step that a crash leaves done or undone. */
  async rewrite(records: readonly PurgeRecord[]): Promise<void> {
    await this.fallBehind()
    const temporary = `${this.path}.tmp`
    const file = await open(temporary, 'w', 0o600)
    try {
      await file.writeFile(records.map(formatLine).join(''))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, this.path)
    await syncFolder(dirname(this.path))
    this.#lines = records.length
    this.#last = latest(records)
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }
}

export function formatLine(record: PurgeRecord): string {
  const json = formatRecord(record)
  return `${checksum(json)} ${json}\n`
}

export function parseLog(text: string): ReadLog {
  const lines = text.split('\n')
  const tail = lines.pop()
  const records: PurgeRecord[] = []
  for (const line of lines) {
    const json = line.slice(9)
    const record = line[8] === ' ' && line.slice(0, 8) === checksum(json) ? parseRecord(json) : undefined
    if (record) records.push(record)
  }
  const damaged = records.length < lines.length
  return { records, damaged, clean: !damaged && tail === '' }
}

/** The highest number. */
export function latest(records: readonly PurgeRecord[], before = 0): number {
  return records.reduce((last, { n }) => Math.max(last, n), before)
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(8, '0')
}

/** A rename is on the disk when its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
