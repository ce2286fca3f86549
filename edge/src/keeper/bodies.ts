import { MillraceError } from '@millrace/common/errors'
import { BODY_BROKEN, type BodyReader } from '../cache/body.js'
import type { BodyLocation, Fill, FillHead } from './contract.js'
import { type FillFiles, readAt, type SharedFile } from './fill-files.js'

export type ReadyHead = Extract<FillHead, { kind: 'ready' }>

export interface FillBodyDependencies {
  files: FillFiles
  /** The body of the stored entry of this key, when its id is this one: the file of a fill that has ended goes by that name. */
  openFinal: (id: string) => Promise<BodyReader | undefined>
}

/**
 * A body that may still be coming, for one request: its beginning is in the head, the rest in the file that grows, or in memory.
 *
 * @returns undefined when the bytes are gone already: the fill ended in memory.
 */
export function fillBody(fill: Fill, ready: ReadyHead, dependencies: FillBodyDependencies): BodyReader | undefined {
  const release = fill.hold?.bind(fill)
  const held = release?.()
  if (release && !held) return undefined
  return new FillBody(fill, ready, dependencies, held ?? (() => undefined))
}

/** Where bytes beyond `first` are read. */
type Source = { kind: 'unknown' } | { kind: 'opening' } | { kind: 'file'; file: SharedFile } | { kind: 'final'; body: BodyReader } | Failed
type Failed = { kind: 'failed'; error: unknown }

interface Wanted {
  buffer: Buffer
  at: number
  end: number
  resolve: (view: Uint8Array) => void
  reject: (error: unknown) => void
}

class FillBody implements BodyReader {
  readonly #fill: Fill
  readonly #ready: ReadyHead
  readonly #deps: FillBodyDependencies
  readonly #release: () => void
  #source: Source = { kind: 'unknown' }
  #opened: Promise<void> | undefined
  #closed = false
  #notGone: (() => void) | undefined

  constructor(fill: Fill, ready: ReadyHead, dependencies: FillBodyDependencies, release: () => void) {
    this.#fill = fill
    this.#ready = ready
    this.#deps = dependencies
    this.#release = release
    const { first, meta, location } = ready
    if (fill.recent && location.kind === 'file') {
      this.#notGone = fill.beforeGone?.(() => this.#open())
      return
    }
    // Before it is needed: a purge or a failing disk may take the file's name away, but not from whoever has it open.
    if (location.kind === 'file' && meta.length !== first.length) {
      const open = () => {
        if (fill.available > first.length) void this.#open()
      }
      if (fill.available > first.length) open()
      else void fill.progress(first.length).then(open)
    }
  }

  read(buffer: Buffer, at: number, end: number): Promise<Uint8Array> {
    const { first } = this.#ready
    if (at < first.length) return Promise.resolve(first.subarray(at, Math.min(end, first.length)))
    return new Promise((resolve, reject) => this.#read({ buffer, at, end, resolve, reject }))
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#notGone?.()
    this.#release()
    this.#closeSource()
  }

  #read(wanted: Wanted): void {
    const { available, state, recent } = this.#fill
    if (recent) {
      const view = recent.view(wanted.at, wanted.end)
      if (view) {
        wanted.resolve(view)
        return
      }
      if (wanted.at >= available && state === 'running') {
        this.#fill.arrival!().then(() => this.#read(wanted), wanted.reject)
        return
      }
    }
    if (wanted.at < available) this.#readAvailable(wanted, Math.min(wanted.end, available))
    else if (state === 'complete') wanted.resolve(wanted.buffer.subarray(0, 0))
    else if (state === 'broken') wanted.reject(bodyBroken('the transfer into the cache broke', this.#fill.lost ? 'internal' : 'origin'))
    else this.#fill.progress(wanted.at).then(() => this.#read(wanted), wanted.reject)
  }

  #readAvailable(wanted: Wanted, end: number): void {
    const place: BodyLocation = this.#fill.moved ?? this.#ready.location
    const source = this.#source
    if (place.kind === 'memory') wanted.resolve(place.chunks.view(wanted.at).subarray(0, end - wanted.at))
    else if (source.kind === 'file') this.#readFile(wanted, source.file, place.bodyOffset, end)
    else if (source.kind === 'final') source.body.read(wanted.buffer, wanted.at, wanted.end).then(wanted.resolve, wanted.reject)
    else if (source.kind === 'failed') wanted.reject(bodyBroken('the file of a fill cannot be opened', 'disk', source.error))
    else this.#open().then(() => this.#read(wanted), wanted.reject)
  }

  #readFile(wanted: Wanted, file: SharedFile, bodyOffset: number, end: number): void {
    const { buffer, at } = wanted
    readAt(file.fd, buffer, Math.min(buffer.length, end - at), bodyOffset + at, (error, n) => {
      if (n > 0) wanted.resolve(buffer.subarray(0, n))
      // What the disk doesn't give may have gone on in memory.
      else if (this.#fill.moved) this.#read(wanted)
      else wanted.reject(bodyBroken(error ? 'a body cannot be read from the disk' : 'the file of a body ends early', 'disk', error))
    })
  }

  /** Never rejects. */
  #open(): Promise<void> {
    this.#opened ??= this.#findSource().then((source) => {
      this.#source = source
      if (this.#closed) this.#closeSource()
    })
    return this.#opened
  }

  async #findSource(): Promise<Source> {
    const { location, meta } = this.#ready
    if (this.#closed || this.#fill.moved || location.kind !== 'file') return { kind: 'unknown' }
    try {
      return { kind: 'file', file: await this.#deps.files.acquire(location.path) }
    } catch (error) {
      return this.#findFinal(meta.id, error)
    }
  }

  /** The fill may have ended before its file was open: then it has the name of its entry, or none any more. */
  async #findFinal(id: string, reason: unknown): Promise<Source> {
    try {
      const body = await this.#deps.openFinal(id)
      return body ? { kind: 'final', body } : { kind: 'failed', error: reason }
    } catch (error) {
      return { kind: 'failed', error }
    }
  }

  #closeSource(): void {
    const source = this.#source
    this.#source = { kind: 'unknown' }
    if (source.kind === 'file') source.file.release()
    else if (source.kind === 'final') source.body.close()
  }
}

function bodyBroken(message: string, source: 'origin' | 'disk' | 'internal', cause?: unknown): MillraceError {
  return new MillraceError(message, { code: BODY_BROKEN, source, retryable: true, cause })
}
