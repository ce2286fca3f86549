import type { Dirent } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { discard, emptyTrash } from './discard.js'
import { ifPresent } from './durable.js'
import type { AssetRef, Layout } from './layout.js'
import type { Operations } from './operations.js'
import { refsIn } from './walk.js'

export interface JanitorOptions {
  layout: Layout
  operations: Operations
  maxAgeMs: number
  intervalMs: number
  now: () => Date
  /** Told of every staged folder that went. */
  onRemoved: (ref: AssetRef) => void
  onError: (error: unknown) => void
  /** What else wants doing now and then. */
  chores: (() => Promise<void>)[]
}

/** Removes staged folders that nobody writes to any more, and what lies in the trash. */
export class Janitor {
  readonly #options: JanitorOptions
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #again = false
  #stopped = false

  constructor(options: JanitorOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setInterval(() => this.kick(), this.#options.intervalMs)
    this.#timer.unref()
  }

  /** Runs now, or once more after the run that goes on. */
  kick(): void {
    if (this.#stopped) return
    if (this.#running) {
      this.#again = true
      return
    }
    this.#running = this.sweep()
      .catch(this.#options.onError)
      .finally(() => {
        this.#running = undefined
        if (!this.#again) return
        this.#again = false
        this.kick()
      })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#running
  }

  async sweep(): Promise<void> {
    const { layout, operations, maxAgeMs, now, onRemoved, chores } = this.#options
    for (const ref of await refsIn(layout.stagingRoot)) {
      const age = now().getTime() - (await newestChange(layout.staged(ref)))
      if (age <= maxAgeMs || operations.isBusy(ref)) continue
      await operations.exclusively(ref, () => discard(layout, layout.staged(ref)))
      onRemoved(ref)
    }
    await emptyTrash(layout)
    for (const chore of chores) await chore()
  }
}

/**
 * When a folder or anything in it last changed, in Unix milliseconds. By ctime: rsync sets mtimes to those of the source.
 * A folder that vanished meanwhile counts as changed now.
 */
async function newestChange(folder: string): Promise<number> {
  const entries: Dirent[] = (await ifPresent(readdir(folder, { withFileTypes: true, recursive: true }))) ?? []
  const paths = [folder, ...entries.map((entry) => join(entry.parentPath, entry.name))]
  const times = await Promise.all(paths.map(async (path) => (await ifPresent(lstat(path)))?.ctimeMs ?? Number.POSITIVE_INFINITY))
  return Math.max(...times)
}
