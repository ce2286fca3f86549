import { contentType, mediaClass, parseMediaPath } from '@millrace/common/contracts/media-url'
import { MillraceError } from '@millrace/common/errors'
import type { HeaderField } from '../cache/entry-meta.js'
import type { Resource } from '../cache/judge.js'
import type { Attempt, AttemptOutcome } from '../origin/contract.js'
import type { Upstream } from './contract.js'

/** What the caching rules have to know of what is fetched. */
export function resourceOf(upstream: Upstream): Resource {
  if (upstream.mode === 'generic') return { mode: 'generic', authorized: upstream.headers.some(([name]) => name === 'authorization') }
  const path = parseMediaPath(upstream.path)
  return { mode: 'media', media: path ? mediaClass(path) : 'download' }
}

/** Media always has a type: where the origin names none, the path tells it. */
export function withContentType(headers: HeaderField[], upstream: Upstream): HeaderField[] {
  if (upstream.mode !== 'media' || headers.some(([name]) => name === 'content-type')) return headers
  const path = parseMediaPath(upstream.path)
  return path ? [...headers, ['content-type', contentType(path)]] : headers
}

const CONDITIONALS = new Set(['if-none-match', 'if-modified-since', 'if-match', 'if-unmodified-since', 'if-range', 'range'])

/** A client's fields with the edge's own conditions in the place of any: what is stored is the whole, for everyone. */
export function conditionalFields(fields: readonly HeaderField[], validators: readonly HeaderField[]): HeaderField[] {
  return [...fields.filter(([name]) => !CONDITIONALS.has(name)), ...validators]
}

/**
 * The origins that said there is no such thing, when the whole route says so. One 404 beside failures proves nothing, the replica may be on
 * the one that is down; but origins beyond the route that fail change nothing.
 */
export function missingOnRoute(route: readonly string[], attempts: readonly Attempt[]): string[] | undefined {
  const missing = new Set(attempts.filter((attempt) => attempt.outcome === 'missing').map((attempt) => attempt.origin))
  return route.length > 0 && route.every((origin) => missing.has(origin)) ? [...missing] : undefined
}

/** An origin that framed its body wrongly. */
export function bodyBreak(message: string): MillraceError {
  return new MillraceError(message, { code: 'origin-body-wrong', source: 'origin', retryable: true })
}

/** How an origin did whose body broke before anyone had a byte of it. */
export function outcomeOfBreak(error: unknown): AttemptOutcome {
  const code = error instanceof MillraceError ? error.code : undefined
  if (code === 'origin-timeout') return 'timeout'
  return code === 'origin-body-wrong' ? 'rejected' : 'unreachable'
}
