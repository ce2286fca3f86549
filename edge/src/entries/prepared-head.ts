import { type EntryMeta, type HeaderField, headerOf } from '../cache/entry-meta.js'
import type { ResponseHead } from '../http/exchange.js'
import { renderFields, renderHead } from '../http/head.js'

/** Fields of every answer that do not depend on the entry: CORS, Via. Rendered. */
export interface HeadContext {
  /** Rendered after the entry's own fields. */
  common: string
  /** `Cache-Status` and `x-cache` for a hit, by milliseconds of freshness left; rendered. */
  hit: (meta: EntryMeta, ttlMs: number) => string
}

/** What of an entry's fields a 304 carries (RFC 9110 §15.4.5). */
const IN_304: ReadonlySet<string> = new Set(['cache-control', 'content-location', 'etag', 'expires', 'vary', 'last-modified'])

/**
 * The heads of one stored entry, rendered once: a hit then costs no more than finding them. Only Age and the freshness left change, once
 * a second.
 */
export class PreparedHead {
  readonly etag: string | undefined
  readonly lastModified: string | undefined
  readonly #meta: EntryMeta
  readonly #context: HeadContext
  readonly #own: readonly HeaderField[]
  readonly #fields: string
  #second = -1
  #hit: ResponseHead | undefined

  constructor(meta: EntryMeta, context: HeadContext, further: readonly HeaderField[] = []) {
    this.#meta = meta
    this.#context = context
    this.etag = headerOf(meta, 'etag')
    this.lastModified = headerOf(meta, 'last-modified')
    this.#own = [...meta.headers, ...further]
    this.#fields = renderFields(this.#own) + context.common
  }

  /** The whole entry, fresh; `now` in Unix milliseconds. */
  hit(now: number): ResponseHead {
    const second = Math.floor(now / 1000)
    if (second !== this.#second || !this.#hit) {
      this.#second = second
      const { status, text } = renderHead(this.#meta.status, this.#fields + this.#changing(now))
      // Bytes go to the server as they are; a string would be encoded at each hit.
      this.#hit = { status, text: typeof text === 'string' ? Buffer.from(text, 'latin1') : text }
    }
    return this.#hit
  }

  /** Another answer from a hit: 206 or 416. `fields` stand in the place of the entry's of the same name. */
  hitWith(status: number, now: number, fields: readonly HeaderField[]): ResponseHead {
    const kept = this.#own.filter(([name]) => fields.every(([other]) => other !== name))
    return renderHead(status, renderFields([...kept, ...fields]) + this.#context.common + this.#changing(now))
  }

  hit304(now: number): ResponseHead {
    const fields = this.#own.filter(([name]) => IN_304.has(name))
    return renderHead(304, renderFields(fields) + this.#context.common + this.#changing(now))
  }

  #changing(now: number): string {
    return `\r\nage: ${ageOf(this.#meta, now)}${this.#context.hit(this.#meta, this.#meta.freshUntil - now)}`
  }
}

/** RFC 9111 §5.1: seconds since the origin made or confirmed it. */
export function ageOf(meta: { bornAt: number }, now: number): number {
  return Math.max(0, Math.floor((now - meta.bornAt) / 1000))
}
