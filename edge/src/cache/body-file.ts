import { type FileHandle, open } from 'node:fs/promises'
import { MillraceError } from '@millrace/common/errors'
import type { BodyReader, FileLocation } from './store.js'

/** A whole body in an open file: it stays readable when the entry is evicted, because the descriptor holds the file. */
export class BodyFile implements BodyReader {
  readonly #handle: FileHandle
  readonly #bodyOffset: number
  readonly #length: number
  readonly #onDamaged: () => void

  /** @param onDamaged told when the file can't be read as far as it should */
  constructor(handle: FileHandle, bodyOffset: number, length: number, onDamaged: () => void) {
    this.#handle = handle
    this.#bodyOffset = bodyOffset
    this.#length = length
    this.#onDamaged = onDamaged
  }

  async read(target: Uint8Array, at: number): Promise<number> {
    const wanted = Math.min(target.length, this.#length - at)
    if (wanted <= 0) return 0
    try {
      return await readSome(this.#handle, target, wanted, this.#bodyOffset + at)
    } catch (error) {
      this.#onDamaged()
      throw error
    }
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
      if (this.#growth.state === 'broken') throw bodyBroken('the transfer into the cache broke', 'origin')
      await this.#growth.progress(at)
    }
    const wanted = Math.min(target.length, this.#growth.available - at)
    return readSome(this.#handle, target, wanted, this.#bodyOffset + at)
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

async function readSome(handle: FileHandle, target: Uint8Array, wanted: number, position: number): Promise<number> {
  let bytesRead: number
  try {
    ;({ bytesRead } = await handle.read(target, 0, wanted, position))
  } catch (error) {
    throw bodyBroken('a body cannot be read from the disk', 'disk', error)
  }
  if (bytesRead === 0) throw bodyBroken('the file of a body ends early', 'disk')
  return bytesRead
}

export const BODY_BROKEN = 'body-broken'

function bodyBroken(message: string, source: 'origin' | 'disk', cause?: unknown): MillraceError {
  return new MillraceError(message, { code: BODY_BROKEN, source, retryable: true, cause })
}
