import { type FileHandle, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { BodyReader } from '../src/cache/body.js'
import { type EntryMeta, entryMetaSchema } from '../src/cache/entry-meta.js'
import type { CacheKey } from '../src/cache/key.js'
import type { CacheStore, DiskStats, EntryWriter } from '../src/cache/store.js'
import type { BodyLocation } from '../src/keeper/contract.js'

const HEADER_BYTES = 4096

/** Where a test makes the disk fail; each is asked before the real thing is done. */
export interface Failures {
  create?: () => void
  /** At this body offset. */
  write?: (at: number) => Promise<void> | void
  readBack?: () => void
  commit?: () => Promise<void> | void
  look?: () => Promise<void> | void
}

/**
 * Real files in one folder, without any budget: what the keeper needs of a store, small enough to be trusted. Unlike the real one it never
 * evicts by itself; a test says what was evicted.
 */
export class FolderStore implements CacheStore {
  readonly failures: Failures = {}
  readonly wasEvicted = new Set<string>()
  /** Makes `create` find no room. */
  full = false
  out = false
  readonly touched: string[] = []
  readonly #path: string
  readonly #entries = new Set<string>()
  #tmp = 0

  constructor(path: string) {
    this.#path = path
  }

  entryPath(hash: string): string {
    return join(this.#path, hash)
  }

  has(hash: string): boolean {
    return this.#entries.has(hash)
  }

  async look(key: CacheKey): Promise<EntryMeta | undefined> {
    await this.failures.look?.()
    const meta = await readMeta(this.entryPath(key.hash))
    if (!meta) this.#entries.delete(key.hash)
    return meta?.key === key.text ? meta : undefined
  }

  async create(key: CacheKey, _length: number | undefined): Promise<EntryWriter | undefined> {
    this.failures.create?.()
    if (this.full || this.out) return undefined
    const folder = join(this.#path, 'tmp')
    await mkdir(folder, { recursive: true })
    const path = join(folder, `${key.hash}-${++this.#tmp}`)
    return new FolderWriter(await open(path, 'wx+'), path, this.failures, async () => {
      await rename(path, this.entryPath(key.hash))
      this.#entries.add(key.hash)
    })
  }

  async rewrite(key: CacheKey, meta: EntryMeta): Promise<boolean> {
    const stored = await readMeta(this.entryPath(key.hash))
    if (stored?.id !== meta.id) return false
    const handle = await open(this.entryPath(key.hash), 'r+')
    await handle.write(header(meta), 0, HEADER_BYTES, 0)
    await handle.close()
    return true
  }

  used(hash: string): void {
    this.touched.push(hash)
  }

  async drop(hash: string, id?: string): Promise<void> {
    if (id !== undefined && (await readMeta(this.entryPath(hash)))?.id !== id) return
    this.#entries.delete(hash)
    await rm(this.entryPath(hash), { force: true })
  }

  evicted(hash: string): boolean {
    return this.wasEvicted.has(hash)
  }

  stats(): DiskStats[] {
    const state = this.out ? 'out' : 'in'
    return [{ path: this.#path, state, objects: this.#entries.size, bytes: 0, maxBytes: 0, evictedBytes: 0 }]
  }

  /** As a worker reads it: by path, with the id of the fill where it has to be that one's. */
  async open(key: CacheKey, id?: string): Promise<{ meta: EntryMeta; body: BodyReader } | undefined> {
    let file: Buffer
    try {
      file = await readFile(this.entryPath(key.hash))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
    const meta = parse(file)
    if (!meta || meta.key !== key.text || (id !== undefined && meta.id !== id)) return undefined
    return {
      meta,
      body: { read: async (_buffer, at, end) => file.subarray(HEADER_BYTES + at, HEADER_BYTES + end), close: () => undefined },
    }
  }
}

class FolderWriter implements EntryWriter {
  readonly location: BodyLocation
  readonly #handle: FileHandle
  readonly #path: string
  readonly #failures: Failures
  readonly #publish: () => Promise<void>
  #length = 0
  #last: Promise<void> = Promise.resolve()

  constructor(handle: FileHandle, path: string, failures: Failures, publish: () => Promise<void>) {
    this.#handle = handle
    this.#path = path
    this.#failures = failures
    this.#publish = publish
    this.location = { kind: 'file', path, bodyOffset: HEADER_BYTES }
  }

  write(chunk: Uint8Array): Promise<void> {
    const written = this.#last.then(() => this.#append(chunk))
    this.#last = written.catch(() => undefined)
    return written
  }

  async #append(chunk: Uint8Array): Promise<void> {
    await this.#failures.write?.(this.#length)
    // A disk that fills up takes a part first.
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await this.#handle.write(chunk, done, chunk.length - done, HEADER_BYTES + this.#length + done)
      done += bytesWritten
    }
    this.#length += chunk.length
  }

  async readBack(start: number, end: number): Promise<Uint8Array> {
    this.#failures.readBack?.()
    const buffer = Buffer.alloc(end - start)
    const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, HEADER_BYTES + start)
    if (bytesRead !== buffer.length) throw new RangeError('so much was not written')
    return buffer
  }

  async commit(meta: EntryMeta): Promise<void> {
    try {
      await this.#failures.commit?.()
      if (meta.length !== this.#length) throw new RangeError('the body is not as long as its meta says')
      await this.#handle.write(header(meta), 0, HEADER_BYTES, 0)
      await this.#handle.close()
      await this.#publish()
    } catch (error) {
      await this.discard()
      throw error
    }
  }

  async discard(): Promise<void> {
    await this.#handle.close()
    await rm(this.#path, { force: true })
  }
}

function header(meta: EntryMeta): Buffer {
  const block = Buffer.alloc(HEADER_BYTES)
  block.write(JSON.stringify(entryMetaSchema.parse(meta)))
  return block
}

function parse(file: Buffer): EntryMeta | undefined {
  const end = file.subarray(0, HEADER_BYTES).indexOf(0)
  const meta = end > 0 ? entryMetaSchema.safeParse(JSON.parse(file.subarray(0, end).toString())).data : undefined
  return meta && file.length === HEADER_BYTES + meta.length ? meta : undefined
}

async function readMeta(path: string): Promise<EntryMeta | undefined> {
  try {
    return parse(await readFile(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
