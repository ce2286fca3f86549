import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import { type FillMeta, type HeaderField, headerOf } from '../cache/entry-meta.js'
import { type HeadContext, PreparedHead } from './prepared-head.js'
import type { CodedBody, RamEntry } from './ram-tier.js'

export type Coding = 'br' | 'gzip'

const compressBrotli = promisify(brotliCompress)
const compressGzip = promisify(gzip)

/** Below this a coding saves no packet. */
const MIN_BYTES = 300

/** What text compresses well enough to be worth it: playlists, manifests, subtitles. */
const COMPRESSIBLE = /^(application\/(vnd\.apple\.mpegurl|x-mpegurl|dash\+xml|json|xml)|text\/[a-z]+)\s*(;|$)/i

/**
 * RFC 9110 §7.7: "A proxy MUST NOT transform the content (Section 6.4) of a response message that contains a no-transform cache directive".
 * Wherever it stands: this is asked for each hit, and to leave out a coding is never wrong.
 */
const NO_TRANSFORM = /no-transform/i

/** Whether an entry may be answered in a content coding; its answers then say `Vary: accept-encoding` (RFC 9110 §12.5.5). */
export function isCompressible(meta: FillMeta): boolean {
  return (
    (meta.length ?? 0) >= MIN_BYTES &&
    headerOf(meta, 'content-encoding') === undefined &&
    COMPRESSIBLE.test(headerOf(meta, 'content-type') ?? '') &&
    !NO_TRANSFORM.test(headerOf(meta, 'cache-control') ?? '')
  )
}

/** What the answers of a compressible entry say beside its own fields. */
export function varyFields(meta: FillMeta): HeaderField[] {
  return isCompressible(meta) && !/accept-encoding/i.test(headerOf(meta, 'vary') ?? '') ? [['vary', 'accept-encoding']] : []
}

/** RFC 9110 §12.5.3: the best coding that we make and the client takes. `q=0` refuses one; `*` stands for all that are not named. */
export function acceptedCoding(header: string | undefined): Coding | undefined {
  if (header === undefined || header === '') return undefined
  const weights = new Map<string, number>()
  for (const part of header.slice(0, 256).toLowerCase().split(',')) {
    const [name, ...parameters] = part.split(';').map((text) => text.trim())
    const q = parameters.find((parameter) => parameter.startsWith('q='))
    weights.set(name!, q === undefined ? 1 : Number(q.slice(2)))
  }
  const weight = (coding: string) => weights.get(coding) ?? weights.get('*') ?? 0
  if (weight('br') > 0 && weight('br') >= weight('gzip')) return 'br'
  return weight('gzip') > 0 ? 'gzip' : undefined
}

/** @returns undefined when the coded body is no smaller */
export async function encode(entry: RamEntry, coding: Coding, context: HeadContext): Promise<CodedBody | undefined> {
  const body =
    coding === 'br'
      ? await compressBrotli(entry.body, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } })
      : await compressGzip(entry.body, { level: 9 })
  if (body.length >= entry.body.length) return undefined
  const { meta } = entry
  const headers: HeaderField[] = meta.headers
    .filter(([name]) => name !== 'accept-ranges')
    .map(([name, value]) => (name === 'etag' ? [name, codedEtag(value, coding)] : [name, value]))
  headers.push(['content-encoding', coding])
  const owned = Buffer.allocUnsafeSlow(body.length)
  body.copy(owned)
  return { head: new PreparedHead({ ...meta, headers, length: body.length }, context, varyFields(meta)), body: owned }
}

/** RFC 9110 §8.8.3.3: a coded representation has an entity tag of its own. */
export function codedEtag(etag: string, coding: Coding): string {
  return etag.endsWith('"') ? `${etag.slice(0, -1)}-${coding}"` : etag
}
