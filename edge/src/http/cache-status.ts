import type { CachePhase } from '@millrace/common/contracts/edge-api'
import type { MissCause } from '../keeper/contract.js'

/** RFC 9211 §2.2. */
export type ForwardReason = 'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'request' | 'stale' | 'partial'

/** What of an answer its decision doesn't tell. */
export interface CacheStatusDetails {
  /** Freshness left, in milliseconds, negative when stale; on answers from the store. */
  ttlMs?: number
  /** Why it was forwarded, where phase and cause don't tell. */
  fwd?: ForwardReason
  /** Of the origin's answer. */
  fwdStatus?: number
  /** Whether the answer was, or is being, stored. */
  stored?: boolean
  /** Such as the code of a problem answer, or why nothing is stored: a short name. */
  detail?: string
}

/** One member of a Cache-Status list: this edge's. Caches nearer to the origin come before it (RFC 9211 §2). */
export function cacheStatus(edgeId: string, decision: { phase: CachePhase; cause?: MissCause }, details: CacheStatusDetails = {}): string {
  const { ttlMs, fwdStatus, stored, detail } = details
  const fwd = details.fwd ?? forwardReason(decision)
  let text = bareItem(edgeId)
  // §2.1, §2.2: "hit" and "fwd" exclude each other.
  if (fwd !== undefined) text += `; fwd=${fwd}`
  else if (HITS.has(decision.phase)) text += '; hit'
  if (fwd !== undefined && fwdStatus !== undefined) text += `; fwd-status=${fwdStatus}`
  // §2.4: "the response's remaining freshness lifetime", in whole seconds, negative "to indicate staleness".
  if (ttlMs !== undefined) text += `; ttl=${Math.floor(ttlMs / 1000)}`
  if (fwd !== undefined && stored) text += '; stored'
  if (fwd !== undefined && decision.phase === 'coalesced') text += '; collapsed'
  const said = detail ?? (decision.phase === 'negative' ? 'negative' : undefined)
  return said === undefined ? text : `${text}; detail=${bareItem(said)}`
}

const HITS: ReadonlySet<CachePhase> = new Set(['hit', 'stale', 'negative'])

function forwardReason({ phase, cause }: { phase: CachePhase; cause?: MissCause }): ForwardReason | undefined {
  switch (phase) {
    case 'miss':
    case 'coalesced':
    case 'error':
      return cause === 'expired' ? 'stale' : 'uri-miss'
    case 'revalidated':
      return 'stale'
    case 'bypass':
      return 'bypass'
    default:
      return undefined
  }
}

/** RFC 9651 §3.3: a token where it can be one, else a string. Edge ids may begin with a digit or a hyphen, which no token does. */
function bareItem(text: string): string {
  if (/^[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*$/.test(text)) return text
  return `"${text.replace(/[^\x20-\x7e]/g, '').replace(/["\\]/g, '\\$&')}"`
}
