import { type FileHandle, rm } from 'node:fs/promises'
import { MillraceError } from '@millrace/common/errors'
import type { BodyLocation } from '../keeper/contract.js'
import { BLOCK_BYTES } from './body.js'
import { BlockChecksums, BODY_OFFSET, diskBlocks, encodeHeader, fileBytes, tableCrcOf, tableOffset } from './entry-format.js'
import type { EntryMeta } from './entry-meta.js'
import type { EntryWriter } from './store.js'

/** What a writer needs of its disk. Errors of the disk are reported by whoever meets them first. */
export interface WriterDisk {
  /** More room for a body that outgrew what was reserved. */
  reserve(blocks: number): boolean
  /** Resolves when what is reserved is free on the disk. */
  room(): Promise<void>
  /** The file is gone or was never there. */
  release(path: string, blocks: number): void
  /** Puts the finished file in the entry's place and takes over what was reserved. */
  publish(hash: string, path: string, blocks: number, reserved: number): Promise<void>
  fault(operation: 'create' | 'write' | 'commit', error: unknown): void
}

interface Waiting {
  chunk: Uint8Array
  resolve: () => void
  reject: (error: unknown) => void
}

/**
 * Writes one entry into a file of its own. Chunks that come while an earlier one is being written go to the disk together. Chunks are not
 * copied: they must stay as they are until `write` resolves.
 *
 * Nothing is synced. A crash of the process loses nothing that was written; after a power cut the header, the size and the checksums tell
 * what is whole, and a cache may lose the rest.
 */
export class DiskEntryWriter implements EntryWriter {
  readonly location: BodyLocation & { kind: 'file' }
  readonly #disk: WriterDisk
  readonly #hash: string
  readonly #openFile: () => Promise<FileHandle>
  #opened: Promise<FileHandle> | undefined
  readonly #checksums = new BlockChecksums()
  #reserved: number
  #accepted = 0
  #written = 0
  #queue: Waiting[] = []
  #draining: Promise<void> | undefined
  #failure: { error: unknown } | undefined
  #ended = false

  /** @param openFile makes the file at `path` */
  constructor(disk: WriterDisk, hash: string, path: string, reserved: number, openFile: (path: string) => Promise<FileHandle>) {
    this.#disk = disk
    this.#hash = hash
    this.#reserved = reserved
    this.location = { kind: 'file', path, bodyOffset: BODY_OFFSET }
    this.#openFile = () => disk.room().then(() => openFile(path))
  }

  /** Made when it is first needed: whoever waits for the first bytes is served before the disk is asked for anything. */
  get #file(): Promise<FileHandle> {
    if (!this.#opened) {
      this.#opened = this.#openFile()
      this.#opened.catch((error: unknown) => this.#fail('create', error))
    }
    return this.#opened
  }

  write(chunk: Uint8Array): Promise<void> {
    if (this.#ended) return Promise.reject(new Error('a cache entry was written to after its end'))
    this.#accepted += chunk.length
    this.#checksums.update(chunk)
    const written = new Promise<void>((resolve, reject) => this.#queue.push({ chunk, resolve, reject }))
    this.#draining ??= this.#drain()
    return written
  }

  async readBack(start: number, end: number): Promise<Uint8Array> {
    const file = await this.#file
    const bytes = Buffer.allocUnsafe(end - start)
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await file.read(bytes, done, bytes.length - done, BODY_OFFSET + start + done)
      if (bytesRead === 0) throw new RangeError('bytes were asked back that were not written')
      done += bytesRead
    }
    return bytes
  }

  async commit(meta: EntryMeta): Promise<void> {
    try {
      await this.#settled()
      if (meta.length !== this.#written) throw new RangeError('the body is not as long as its meta says')
      const table = this.#checksums.end()
      const header = encodeHeader({ meta, tableCrc: tableCrcOf(table) })
      const blocks = diskBlocks(fileBytes(meta.length))
      await this.#need(blocks)
      const file = await this.#file
      await this.#writing('commit', async () => {
        if (table.length > 0) await writeAll(file, [table], tableOffset(meta.length))
        await writeAll(file, [header], 0)
      })
      await this.#publish(file, blocks)
    } catch (error) {
      await this.discard()
      throw error
    }
  }

  async commitWhole(meta: EntryMeta, body: readonly Uint8Array[]): Promise<void> {
    try {
      this.#ended = true
      let length = 0
      for (const chunk of body) {
        length += chunk.length
        this.#checksums.update(chunk)
      }
      if (meta.length !== length) throw new RangeError('the body is not as long as its meta says')
      const table = this.#checksums.end()
      const header = encodeHeader({ meta, tableCrc: tableCrcOf(table) })
      const file = await this.#file
      const blocks = diskBlocks(fileBytes(meta.length))
      await this.#need(blocks)
      await this.#writing('commit', () => writeAll(file, [header, ...body, table], 0))
      await this.#publish(file, blocks)
    } catch (error) {
      await this.discard()
      throw error
    }
  }

  async discard(): Promise<void> {
    this.#ended = true
    // What was to be written has its own answer; here only the end of it matters.
    await this.#draining
    const file = await this.#opened?.catch(() => undefined)
    try {
      // A second close of a FileHandle does nothing.
      await file?.close()
    } finally {
      await rm(this.location.path, { force: true }).finally(() => {
        this.#disk.release(this.location.path, this.#reserved)
        this.#reserved = 0
      })
    }
  }

  async #settled(): Promise<void> {
    this.#ended = true
    await this.#file
    await this.#draining
    if (this.#failure) throw this.#failure.error
  }

  async #writing(operation: 'write' | 'commit', write: () => Promise<void>): Promise<void> {
    try {
      await write()
    } catch (error) {
      this.#fail(operation, error)
      throw error
    }
  }

  /** A file can get its name while its descriptor is being closed. */
  async #publish(file: FileHandle, blocks: number): Promise<void> {
    const closed = this.#writing('commit', () => file.close())
    const published = this.#disk.publish(this.#hash, this.location.path, blocks, this.#reserved).then(() => {
      this.#reserved = 0
    })
    const results = await Promise.allSettled([closed, published])
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  async #drain(): Promise<void> {
    // A file that can't be made has failed this writer already.
    await this.#file.catch(() => undefined)
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, 64)
      const chunks = batch.map(({ chunk }) => chunk)
      try {
        if (this.#failure) throw this.#failure.error
        const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
        await this.#need(diskBlocks(fileBytes(this.#written + length)))
        await this.#append(chunks)
        this.#written += length
        for (const { resolve } of batch) resolve()
      } catch (error) {
        this.#failure ??= { error }
        for (const { reject } of batch) reject(error)
      }
    }
    this.#draining = undefined
  }

  async #append(chunks: Uint8Array[]): Promise<void> {
    const file = await this.#file
    await this.#writing('write', () => writeAll(file, chunks, BODY_OFFSET + this.#written))
  }

  /** Reserves in steps of a checksum's block, so that a body of unknown length takes little at first. */
  async #need(blocks: number): Promise<void> {
    if (blocks <= this.#reserved) return
    const more = Math.max(blocks - this.#reserved, diskBlocks(BLOCK_BYTES))
    if (!this.#disk.reserve(more)) {
      throw new MillraceError('the cache has no room for a body of unknown length', { code: 'no-room', source: 'disk', retryable: true })
    }
    this.#reserved += more
    await this.#disk.room()
  }

  #fail(operation: 'create' | 'write' | 'commit', error: unknown): void {
    if (this.#failure) return
    this.#failure = { error }
    this.#disk.fault(operation, error)
  }
}

async function writeAll(file: FileHandle, chunks: readonly Uint8Array[], position: number): Promise<void> {
  let rest = chunks.filter((chunk) => chunk.length > 0)
  let at = position
  while (rest.length > 0) {
    const { bytesWritten } = rest.length === 1 ? await file.write(rest[0]!, 0, rest[0]!.length, at) : await file.writev(rest, at)
    at += bytesWritten
    rest = dropped(rest, bytesWritten)
  }
}

/** What is left of the chunks after their first `count` bytes. */
function dropped(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  const left: Uint8Array[] = []
  let skip = count
  for (const chunk of chunks) {
    if (skip < chunk.length) left.push(skip === 0 ? chunk : chunk.subarray(skip))
    skip = Math.max(0, skip - chunk.length)
  }
  return left
}
