import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MillraceError } from '@millrace/common/errors'
import { type CacheDisk, type DiskLayout, diskLayout, tmpPath } from './disks.js'
import { probeFile } from './entry-file.js'
import { lockFolder } from './folder-lock.js'
import { uniqueNames } from './unique-names.js'

/** The folder of one disk: that it is the right one, this process's alone, and what is being written there. */
export class DiskFolder {
  readonly path: string
  readonly layout: DiskLayout
  readonly #mounted: boolean
  readonly #lockWaitMs: number
  readonly #newName = uniqueNames(12)
  /** Files in tmp that are being written. */
  readonly #running = new Set<string>()
  #device: number | undefined
  #unlock: (() => Promise<void>) | undefined

  /** @param lockWaitMs how long a process that has it and is just dying is waited for */
  constructor({ path, mounted = false }: CacheDisk, lockWaitMs: number) {
    this.path = path
    this.layout = diskLayout(path)
    this.#mounted = mounted
    this.#lockWaitMs = lockWaitMs
  }

  /**
   * Makes what is missing, and locks it.
   *
   * @returns whether the tree was made just now
   * @throws MillraceError `cache-in-use`, `disk-changed`, `disk-not-mounted`; or the disk's error
   */
  async take(): Promise<boolean> {
    if (this.#device === undefined) await mkdir(this.path, { recursive: true, mode: 0o700 })
    const { dev } = await stat(this.path)
    if (this.#mounted && dev === (await stat(join(this.path, '..'))).dev) {
      throw new MillraceError(`nothing is mounted at ${this.path}`, { code: 'disk-not-mounted', source: 'disk', retryable: true })
    }
    // A folder whose disk isn't mounted is a folder of another disk.
    if (this.#device !== undefined && dev !== this.#device) {
      throw new MillraceError(`${this.path} is not on the disk it was on`, { code: 'disk-changed', source: 'disk', retryable: true })
    }
    this.#device = dev
    this.#unlock ??= await lockFolder(this.path, this.#lockWaitMs)
    const made = await mkdir(this.layout.tmp, { recursive: true, mode: 0o700 })
    return made !== undefined && made !== this.layout.tmp
  }

  async free(): Promise<void> {
    await this.#unlock?.()
    this.#unlock = undefined
  }

  /** Proves that it can be written to. @throws the disk's error */
  probe(): Promise<void> {
    return this.withTmp('probe', probeFile)
  }

  /** A name in tmp for an entry, which a scan leaves alone until `ended`. */
  newTmp(hash: string): string {
    const path = tmpPath(this.layout, hash, this.#newName())
    this.#running.add(path)
    return path
  }

  ended(path: string): void {
    this.#running.delete(path)
  }

  isRunning(path: string): boolean {
    return this.#running.has(path)
  }

  /** A file in tmp that a scan leaves alone while it is worked with. */
  async withTmp(name: string, work: (path: string) => Promise<void>): Promise<void> {
    const path = `${this.layout.tmp}/${name}`
    this.#running.add(path)
    try {
      await work(path)
    } finally {
      this.#running.delete(path)
    }
  }
}
