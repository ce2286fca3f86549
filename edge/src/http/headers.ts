import { CACHE_HEADER, ORIGIN_HEADER } from '@millrace/common/contracts/edge-api'
import { toProblem } from '@millrace/common/errors'
import type { FillMeta } from '../keeper/fill.js'
import type { OriginAnswer } from '../origin/fetch.js'
import type { Decision } from '../phase.js'
import type { HeaderList, ResponseHead } from './exchange.js'

type Header = readonly [name: string, value: string]

/** The head for a stored or filling representation. Only named headers pass, so nothing hop-by-hop does (RFC 9110 §7.6.1). */
export function mediaHead(status: number, meta: FillMeta, now: number, extra: HeaderList): ResponseHead {
  const headers: Header[] = [...validators(meta.etag, meta.lastModified, meta.cacheControl)]
  // RFC 9111 §5.1: seconds since the origin made it.
  headers.push(['age', String(Math.max(0, Math.floor((now - meta.bornAt) / 1000)))])
  if (status !== 304) headers.push(['content-type', meta.contentType], ['accept-ranges', 'bytes'])
  return { status, headers: [...headers, ...extra] }
}

/** The head of an answer that passes through unstored. */
export function passHead(status: number, answer: OriginAnswer, extra: HeaderList): ResponseHead {
  const given = answer.headers
  const headers: Header[] = [...validators(given.etag, given['last-modified'], given['cache-control'])]
  const names = status === 304 ? ['age', 'vary'] : ['age', 'vary', 'content-type', 'content-encoding', 'content-range', 'accept-ranges']
  for (const name of names) if (given[name] !== undefined) headers.push([name, given[name]])
  return { status, headers: [...headers, ...extra] }
}

/** `x-cache` and `x-origin`, of the one decision. */
export function decisionHeaders(decision: Decision): HeaderList {
  const headers: Header[] = [[CACHE_HEADER, decision.phase]]
  if (decision.origin !== undefined) headers.push([ORIGIN_HEADER, decision.origin])
  return headers
}

/** RFC 9457. Errors are never stored by anyone: the next request may fare better. */
export function problemAnswer(error: unknown, extra: HeaderList): { head: ResponseHead; body: string } {
  const { status, body } = toProblem(error)
  const headers: Header[] = [
    ['content-type', 'application/problem+json'],
    ['cache-control', 'no-store'],
  ]
  if (status === 503) headers.push(['retry-after', '1'])
  return { head: { status, headers: [...headers, ...extra] }, body: `${JSON.stringify(body)}\n` }
}

function validators(etag: string | undefined, lastModified: string | undefined, cacheControl: string | undefined): Header[] {
  const headers: Header[] = []
  if (etag !== undefined) headers.push(['etag', etag])
  if (lastModified !== undefined) headers.push(['last-modified', lastModified])
  if (cacheControl !== undefined) headers.push(['cache-control', cacheControl])
  return headers
}
