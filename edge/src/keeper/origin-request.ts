import type { EntryMeta, HeaderField } from '../cache/entry-meta.js'
import type { OriginRequest } from '../origin/contract.js'
import type { FillRequest, Upstream } from './contract.js'

const CONDITIONALS = new Set(['if-none-match', 'if-modified-since', 'if-match', 'if-unmodified-since', 'if-range', 'range'])

/** The request of a fill: what is stored is the whole, for everyone, so no conditions but the edge's own, and no range. */
export function originRequest({ upstream, trace }: FillRequest, validators: readonly HeaderField[], signal: AbortSignal): OriginRequest {
  const given = upstream.mode === 'generic' ? upstream.headers.filter(([name]) => !CONDITIONALS.has(name)) : []
  return {
    purpose: 'fill',
    method: 'GET',
    path: upstream.path,
    mode: upstream.mode,
    headers: [...given, ...validators],
    trace,
    signal,
  }
}

/** Which answers end the search for one. @param stale the entry whose validators are sent */
export function wantedStatus(upstream: Upstream, stale: EntryMeta | undefined): (status: number) => boolean {
  if (upstream.mode === 'media') return (status) => status === 200 || (status === 304 && stale !== undefined)
  // RFC 9111 §4.3.3: on a 5xx a cache can "act as if the server failed to respond", which is of use where something stale may be served.
  if (stale !== undefined && stale.staleIfError > 0) return (status) => status < 500
  return () => true
}
