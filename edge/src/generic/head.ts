import { CACHE_HEADER, ORIGIN_HEADER } from '@millrace/common/contracts/edge-api'
import type { FillMeta, HeaderField } from '../cache/entry-meta.js'
import { type CacheStatusDetails, cacheStatus } from '../http/cache-status.js'
import type { ResponseHead } from '../http/exchange.js'
import { appendVia, endToEnd, fieldValue } from '../http/fields.js'
import { head } from '../http/head.js'
import type { OriginAnswer } from '../origin/contract.js'
import type { Decision } from '../phase.js'

/** How one request was answered, for the fields that say so. */
export interface Said {
  edgeId: string
  decision: Decision
  details?: CacheStatusDetails
}

/** RFC 9110 §15.4.5: what a 304 leaves out, "to avoid" describing a body that isn't there. */
const NOT_IN_304: ReadonlySet<string> = new Set(['content-encoding', 'content-language', 'content-range', 'content-type'])
/** The server under the edge writes these itself. */
const FRAMING: ReadonlySet<string> = new Set(['content-length', 'date'])

/** The head of a stored or growing response. RFC 9111 §5.1: its Age in whole seconds. */
export function storedHead(status: number, meta: FillMeta, now: number, said: Said, extra: readonly HeaderField[] = []): ResponseHead {
  const replaced = new Set(extra.map(([name]) => name))
  const kept = meta.headers.filter(([name]) => !replaced.has(name) && !(status === 304 && NOT_IN_304.has(name)))
  const age: HeaderField = ['age', String(Math.max(0, Math.floor((now - meta.bornAt) / 1000)))]
  return head(status, [...kept, ...extra, age, ['via', appendVia(undefined, said.edgeId)], ...decisionFields(said)])
}

/** The head of an answer that passes by the cache: status and end-to-end fields as they came. */
export function passedHead(answer: Pick<OriginAnswer, 'status' | 'fields'>, said: Said): ResponseHead {
  const edge = new Set(['via', 'cache-status', CACHE_HEADER, ORIGIN_HEADER])
  const kept = endToEnd(answer.fields).filter(([name]) => !FRAMING.has(name) && !edge.has(name))
  const via = appendVia(fieldValue(answer.fields, 'via'), said.edgeId)
  return head(answer.status, [...kept, ['via', via], ...decisionFields(said, fieldValue(answer.fields, 'cache-status'))])
}

/** @param nearer Cache-Status of the caches between here and the origin: "each cache [...] appends" (RFC 9211 §2) */
export function decisionFields({ edgeId, decision, details }: Said, nearer?: string): readonly HeaderField[] {
  const own = cacheStatus(edgeId, decision, details)
  const fields: HeaderField[] = [
    ['cache-status', nearer === undefined ? own : `${nearer}, ${own}`],
    [CACHE_HEADER, decision.phase],
  ]
  if (decision.origin !== undefined) fields.push([ORIGIN_HEADER, decision.origin])
  return fields
}
