import { type FileHandle, open } from 'node:fs/promises'
import { MillraceError } from '@millrace/common/errors'
import type { BodyReader, FileLocation } from './store.js'

/** A whole body in an open file: it stays readable when the entry is evicted, because the descriptor holds the file. */
export class BodyFile implements BodyReader {
  readonly #handle: FileHandle
  readonly #bodyOffset: number
  readonly #length: number

  constructor(handle: FileHandle, bodyOffset: number, length: number) {
    this.#handle = handle
    this.#bodyOffset = bodyOffset
    this.#length = length
  }

  async read(target: Uint8Array, at: number): Promise<number> {
    const wanted = Math.min(target.length, this.#length - at)
    if (wanted <= 0) return 0
    const { bytesRead } = await this.#handle.read(target, 0, wanted, this.#bodyOffset + at)
    if (bytesRead === 0) throw bodyBroken('a stored body is shorter than its header says')
    return bytesRead
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

/** How far a body that is still being written can be read. */
export interface Growth {
  readonly available: number
  readonly state: 'running' | 'complete' | 'broken'
  /** Resolves when more than `offset` bytes are available or the state is final. */
  progress(offset: number): Promise<void>
}

/** A body in a file that grows: every reader has its own descriptor and place, so a slow one holds up nobody. */
export class GrowingBodyFile implements BodyReader {
  readonly #handle: FileHandle
  readonly #bodyOffset: number
  readonly #growth: Growth

  private constructor(handle: FileHandle, bodyOffset: number, growth: Growth) {
    this.#handle = handle
    this.#bodyOffset = bodyOffset
    this.#growth = growth
  }

  /** @returns undefined when the file is there no more: its writer ended, one way or the other. */
  static async open(location: FileLocation, growth: Growth): Promise<GrowingBodyFile | undefined> {
    try {
      return new GrowingBodyFile(await open(location.path, 'r'), location.bodyOffset, growth)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  async read(target: Uint8Array, at: number): Promise<number> {
    while (this.#growth.available <= at) {
      if (this.#growth.state === 'complete') return 0
      if (this.#growth.state === 'broken') throw bodyBroken('the transfer from the origin broke')
      await this.#growth.progress(at)
    }
    const wanted = Math.min(target.length, this.#growth.available - at)
    const { bytesRead } = await this.#handle.read(target, 0, wanted, this.#bodyOffset + at)
    if (bytesRead === 0) throw bodyBroken('the file of a running fill is shorter than was told')
    return bytesRead
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

export const BODY_BROKEN = 'body-broken'

export function bodyBroken(message: string): MillraceError {
  return new MillraceError(message, { code: BODY_BROKEN, source: 'origin', retryable: true })
}
