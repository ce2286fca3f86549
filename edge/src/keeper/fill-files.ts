import { close, open, read } from 'node:fs'

/** An open file that several readers share: reads name their place, so one descriptor serves all. */
export interface SharedFile {
  readonly fd: number
  release(): void
}

interface Slot {
  path: string
  readers: number
  opened: Promise<number>
}

/** The files of running fills that this process reads: one descriptor each, however many requests wait for one fill. */
export class FillFiles {
  readonly #slots = new Map<string, Slot>()

  /** Descriptors that are open, or being opened. */
  get size(): number {
    return this.#slots.size
  }

  /** @throws the system's error when the file cannot be opened */
  async acquire(path: string): Promise<SharedFile> {
    let slot = this.#slots.get(path)
    if (!slot) {
      slot = { path, readers: 0, opened: openFile(path) }
      this.#slots.set(path, slot)
    }
    const taken = slot
    taken.readers++
    try {
      const fd = await taken.opened
      let held = true
      return {
        fd,
        release: () => {
          if (!held) return
          held = false
          this.#release(taken, fd)
        },
      }
    } catch (error) {
      // The next one tries again.
      if (this.#slots.get(path) === taken) this.#slots.delete(path)
      throw error
    }
  }

  #release(slot: Slot, fd: number): void {
    if (--slot.readers > 0) return
    this.#slots.delete(slot.path)
    // Nothing is written through it: there is nothing that a failing close could tell.
    close(fd, () => undefined)
  }
}

/** Bytes from a file into `buffer`, as many as one read gives. */
export function readAt(fd: number, buffer: Buffer, length: number, position: number, done: (error: Error | null, n: number) => void): void {
  read(fd, buffer, 0, length, position, done)
}

function openFile(path: string): Promise<number> {
  return new Promise((resolve, reject) => open(path, 'r', (error, fd) => (error ? reject(error) : resolve(fd))))
}
