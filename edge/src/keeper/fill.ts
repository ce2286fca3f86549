import { contentType, type MediaPath, mediaClass } from '@millrace/common/contracts/media-url'
import { MillraceError } from '@millrace/common/errors'
import type { Growth } from '../cache/body-file.js'
import { type EntryMeta, KEPT_VALUE } from '../cache/entry-header.js'
import type { CacheKey } from '../cache/key.js'
import { judge, type NoCacheReason } from '../cache/policy.js'
import type { CacheStore, EntryWriter, FileLocation } from '../cache/store.js'
import type { Attempt, Fetched } from '../origin/fallback.js'
import type { OriginAnswer } from '../origin/fetch.js'

/** A response's head while its body may still be coming: the length is unknown where the origin didn't say. */
export type FillMeta = Omit<EntryMeta, 'length'> & { length: number | undefined }

/** `not-now`: it could be cached, but there is no room, or the disk or the origin has just failed. */
export type PassReason = NoCacheReason | 'not-now'

/** What a fill found out, told once. */
export type FillHead =
  | { kind: 'ready'; meta: FillMeta; location: FileLocation }
  | { kind: 'pass'; reason: PassReason }
  | { kind: 'failed'; attempts: Attempt[] }

/**
 * How a fill ended; a metrics label. `broken`: the origin or the disk failed in mid-body; `outgrown`: a body of unknown length was larger
 * than `cache.maxObject` or the room there was; `not-stored`: whole, but the disk didn't take it over.
 */
export const FILL_OUTCOMES = ['stored', 'passed', 'failed', 'broken', 'outgrown', 'not-stored'] as const
export type FillOutcome = (typeof FILL_OUTCOMES)[number]

/**
 * One transfer from an origin into a cache file, which any number of requests read while it grows. It belongs to no request: a client
 * that leaves doesn't stop it. All that crosses to its readers is a head, a path and offsets.
 */
export interface Fill extends Growth {
  readonly head: Promise<FillHead>
}

export interface FillRequest {
  key: CacheKey
  media: MediaPath
  /** Known origins, first to ask first. */
  order: readonly string[]
}

export interface FillDependencies {
  fetch: (order: readonly string[], path: string) => Promise<Fetched>
  store: Pick<CacheStore, 'create'>
  maxObject: number
  now: () => number
  /** Errors that are nobody's answer: the cache disk's. */
  onFault: (operation: 'open' | 'create' | 'write' | 'commit', error: unknown) => void
}

/** Starts a fill. `ended` resolves, always, when the entry is in the store or its file gone. */
export function startFill(request: FillRequest, dependencies: FillDependencies): { fill: Fill; ended: Promise<FillOutcome> } {
  const run = new FillRun(request, dependencies)
  return { fill: run, ended: run.run() }
}

class FillRun implements Fill {
  readonly head: Promise<FillHead>
  available = 0
  state: 'running' | 'complete' | 'broken' = 'running'
  readonly #request: FillRequest
  readonly #deps: FillDependencies
  #tellHead!: (head: FillHead) => void
  #waiting: (() => void)[] = []

  constructor(request: FillRequest, dependencies: FillDependencies) {
    this.#request = request
    this.#deps = dependencies
    this.head = new Promise((resolve) => {
      this.#tellHead = resolve
    })
  }

  progress(offset: number): Promise<void> {
    if (this.available > offset || this.state !== 'running') return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  async run(): Promise<FillOutcome> {
    const { key, media, order } = this.#request
    const fetched = await this.#deps.fetch(order, key.path)
    if (!fetched.ok) {
      this.#finish('broken', { kind: 'failed', attempts: fetched.attempts })
      return 'failed'
    }
    const { answer } = fetched
    const verdict = judge(answer, mediaClass(media), this.#deps.now(), this.#deps.maxObject)
    if (!verdict.store) return this.#pass(answer, verdict.reason)
    const meta: FillMeta = {
      path: key.path,
      contentType: contentType(media),
      ...kept('contentType', answer.headers['content-type']),
      ...kept('etag', answer.headers.etag),
      ...kept('lastModified', answer.headers['last-modified']),
      ...kept('cacheControl', answer.headers['cache-control']),
      length: answer.length,
      bornAt: verdict.bornAt,
      freshUntil: verdict.freshUntil,
      origin: answer.origin,
    }
    let writer: EntryWriter | undefined
    try {
      writer = await this.#deps.store.create(key, answer.length)
    } catch (error) {
      this.#deps.onFault('create', error)
      return this.#pass(answer, 'not-now')
    }
    if (!writer?.location) return this.#pass(answer, 'not-now')
    return this.#transfer(answer, writer, writer.location, meta)
  }

  async #transfer(answer: OriginAnswer, writer: EntryWriter, location: FileLocation, meta: FillMeta): Promise<FillOutcome> {
    const ready: FillHead = { kind: 'ready', meta, location }
    try {
      for await (const chunk of answer.body) {
        this.#checkLength(this.available + chunk.length, meta.length)
        await writer.write(chunk)
        this.available += chunk.length
        this.#tellHead(ready)
        this.#wake()
      }
      if (meta.length !== undefined && this.available !== meta.length) throw broken('the origin ended its body early')
    } catch (error) {
      const outgrown = error instanceof MillraceError && error.source === 'disk'
      if (!(error instanceof MillraceError)) this.#deps.onFault('write', error)
      // First, so that a client that comes back at once doesn't find this fill still ending.
      await this.#discard(writer)
      // Where no byte was told to anyone yet, the requests can still be served past the disk.
      this.#finish('broken', { kind: 'pass', reason: outgrown ? 'too-large' : 'not-now' })
      return outgrown ? 'outgrown' : 'broken'
    }
    this.#finish('complete', ready)
    try {
      await writer.commit({ ...meta, length: this.available })
      return 'stored'
    } catch (error) {
      // The viewers have the bytes all the same.
      this.#deps.onFault('commit', error)
      return 'not-stored'
    }
  }

  /** An answer that one request asked for may be meant for it alone: everybody fetches their own. */
  #pass(answer: OriginAnswer, reason: PassReason): FillOutcome {
    answer.discard()
    this.#finish('broken', { kind: 'pass', reason })
    return 'passed'
  }

  #checkLength(length: number, told: number | undefined): void {
    if (told !== undefined && length > told) throw broken('the origin sent more than it said')
    if (length > this.#deps.maxObject) {
      throw new MillraceError('a body of unknown length outgrew cache.maxObject', { code: 'too-large', source: 'disk', retryable: false })
    }
  }

  async #discard(writer: EntryWriter): Promise<void> {
    try {
      await writer.discard()
    } catch (error) {
      this.#deps.onFault('write', error)
    }
  }

  #finish(state: 'complete' | 'broken', head: FillHead): void {
    this.state = state
    // Does nothing when the head was told before.
    this.#tellHead(head)
    this.#wake()
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}

function broken(message: string): MillraceError {
  return new MillraceError(message, { code: 'origin-body-wrong', source: 'origin', retryable: true })
}

function kept<K extends string>(key: K, value: string | undefined): { [P in K]?: string } {
  return value !== undefined && KEPT_VALUE.test(value) ? ({ [key]: value } as { [P in K]?: string }) : {}
}
