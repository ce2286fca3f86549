import { MillraceError } from '@millrace/common/errors'
import { type DiskOperation, isDiskError } from './disk-errors.js'

/** So many files in so much time that can't be read, and the disk is to blame. */
const READ_FAILURES = 3
const READ_FAILURE_WINDOW_MS = 10_000
/** A disk that fails within so many rests after it came back has not come back for good. */
const TRIAL_RESTS = 6
const MAX_REST_MS = 600_000

export interface HealthOptions {
  now: () => number
  /** How long a disk that failed is left alone the first time. */
  restMs: number
}

/** The disk as its health needs it. */
export interface HealthDisk {
  /** Whatever has to work before it is used. @throws when it doesn't */
  begin(): Promise<void>
  /** Proves that it works, before it is used again. @throws when it doesn't */
  probe(): Promise<void>
  fault(operation: DiskOperation, error: unknown): void
  changed(state: 'in' | 'out', error?: unknown): void
}

/**
 * Whether a disk is used. What fails is left alone for a while, and tried again. A disk may pass every trial and fail in use, over and over:
 * each time that it does so soon after it came back, the rest is twice as long.
 */
export class DiskHealth {
  state: 'in' | 'out' = 'out'
  readonly #options: HealthOptions
  readonly #disk: HealthDisk
  #rest: number
  /** Since when it is in again; undefined while it has not been out. */
  #backSince: number | undefined
  #readFailures: number[] = []
  #timer: NodeJS.Timeout | undefined
  #trying: Promise<void> | undefined
  #closed = false

  constructor(options: HealthOptions, disk: HealthDisk) {
    this.#options = options
    this.#disk = disk
    this.#rest = options.restMs
  }

  /** @throws MillraceError `cache-in-use`; any other error takes the disk out. */
  async start(): Promise<void> {
    try {
      await this.#disk.begin()
      this.state = 'in'
    } catch (error) {
      if (error instanceof MillraceError && error.code === 'cache-in-use') throw error
      this.#disk.fault('open', error)
      this.#leave(error)
    }
  }

  /** An operation failed in a way that shows that the disk does. */
  failed(error: unknown): void {
    if (this.state === 'out' || this.#closed) return
    const { now, restMs } = this.#options
    const soon = this.#backSince !== undefined && now() - this.#backSince < Math.max(TRIAL_RESTS * restMs, this.#rest)
    this.#rest = soon ? Math.min(2 * this.#rest, MAX_REST_MS) : restMs
    this.#leave(error)
  }

  /** A file could not be read. One is dropped; several, and the disk is out. */
  readFailed(error: unknown): void {
    if (!isDiskError(error)) return
    const now = this.#options.now()
    this.#readFailures = this.#readFailures.filter((at) => now - at < READ_FAILURE_WINDOW_MS)
    this.#readFailures.push(now)
    if (this.#readFailures.length < READ_FAILURES) return
    this.#readFailures = []
    this.failed(error)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#trying
  }

  #leave(error: unknown): void {
    this.state = 'out'
    this.#disk.changed('out', error)
    this.#tryLater()
  }

  #tryLater(): void {
    if (!this.#closed) this.#timer = setTimeout(() => (this.#trying = this.#tryAgain()), this.#rest).unref()
  }

  async #tryAgain(): Promise<void> {
    try {
      await this.#disk.begin()
      await this.#disk.probe()
    } catch (error) {
      this.#disk.fault('probe', error)
      this.#tryLater()
      return
    }
    if (this.#closed) return
    this.state = 'in'
    this.#backSince = this.#options.now()
    this.#disk.changed('in')
  }
}
