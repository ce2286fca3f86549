import { z } from 'zod'

/** A header field: its name in lower case, its value without CR, LF or anything else that is not a field value (RFC 9110 §5.5). */
export type HeaderField = [name: string, value: string]

/** Printable ASCII, tab and obs-text as latin1: what may stand in a stored value. */
export const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]{0,2048}$/
export const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]{1,64}$/

/** Everything that is known of a stored response beside its body. Times in Unix milliseconds. */
export const entryMetaSchema = z.strictObject({
  /** Of the fill that wrote it, 16 hex digits: two files with one id hold the same bytes. */
  id: z.string().regex(/^[0-9a-f]{16}$/),
  /** `CacheKey.text`. */
  key: z.string().max(2500),
  status: z.number().int().min(200).max(599),
  /**
   * End-to-end fields as clients get them. Never content-length, date, age, connection and what it lists, via, or any other field that
   * the edge writes itself.
   */
  headers: z.array(z.tuple([z.string().regex(FIELD_NAME), z.string().regex(FIELD_VALUE)])),
  /** Body bytes. */
  length: z.number().int().nonnegative(),
  /** Whose bytes these are. */
  origin: z.string().regex(/^[a-z0-9-]{1,32}$/),
  /** The purge counter when its fill began: a purge with a higher number covers it. */
  generation: z.number().int().nonnegative(),
  /** When the origin made or last confirmed it (RFC 9111 §4.2.3: now − age). */
  bornAt: z.number().int(),
  /** Equal to or before `bornAt` for what must be revalidated at each use. */
  freshUntil: z.number().int(),
  /** How long beyond `freshUntil` it may be served while it is revalidated (RFC 5861 §3), in milliseconds. */
  staleWhileRevalidate: z.number().int().nonnegative(),
  /** How long beyond `freshUntil` it may be served when no origin can answer (RFC 5861 §4), in milliseconds. */
  staleIfError: z.number().int().nonnegative(),
  /** Generic mode: this entry only says by which request fields the response varies, in lower case; its variants have keys of their own. */
  varies: z.array(z.string().regex(FIELD_NAME)).max(16).optional(),
})
export type EntryMeta = z.infer<typeof entryMetaSchema>

/** A response's head while its body may still be coming: the length is unknown where the origin didn't say. */
export type FillMeta = Omit<EntryMeta, 'length'> & { length: number | undefined }

/** The value of a field; several lines of one name joined by a comma (RFC 9110 §5.3). */
export function headerOf(meta: { headers: readonly HeaderField[] }, name: string): string | undefined {
  let found: string | undefined
  for (const [field, value] of meta.headers) if (field === name) found = found === undefined ? value : `${found}, ${value}`
  return found
}
