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

/**
 * The origins that said there is no such thing, when the whole route says so. One 404 beside failures proves nothing, the replica may be on
 * the one that is down; but origins beyond the route that fail change nothing.
 */
export function missingOnRoute(route: readonly string[], attempts: readonly Attempt[]): string[] | undefined {
  const missing = new Set(attempts.filter((attempt) => attempt.outcome === 'missing').map((attempt) => attempt.origin))
  return route.length > 0 && route.every((origin) => missing.has(origin)) ? [...missing] : undefined
}

/**
 * @param ended whether these are all the bytes that come
 * @throws MillraceError `origin-body-wrong` for a body of another length than was told, `too-large`
 */
export function checkLength(length: number, told: number | undefined, maxObject: number, ended = false): void {
  if (told !== undefined && length > told) throw bodyWrong('the origin sent more than it said')
  if (told !== undefined && ended && length < told) throw bodyWrong('the origin ended its body early')
  if (length > maxObject) {
    throw new MillraceError('a body of unknown length outgrew cache.maxObject', { code: 'too-large', source: 'origin', retryable: false })
  }
}

/**
 * A whole body of a known length.
 *
 * @param start begins to read it; what it is given reads back what was read so far
 * @throws MillraceError `origin-…`
 */
export async function gather(
  length: number,
  start: (readBack: (from: number, to: number) => Promise<Uint8Array>) => AsyncIterable<Uint8Array>,
): Promise<Buffer> {
  const whole = Buffer.alloc(length)
  let at = 0
  for await (const chunk of start(async (from, to) => whole.subarray(from, to))) {
    checkLength(at + chunk.length, length, length)
    whole.set(chunk, at)
    at += chunk.length
  }
  checkLength(at, length, length, true)
  return whole
}

/** How an origin did whose body broke before anyone had a byte of it. */
export function outcomeOfBreak(error: unknown): AttemptOutcome {
  const code = error instanceof MillraceError ? error.code : undefined
  if (code === 'origin-timeout') return 'timeout'
  return code === 'origin-body-wrong' ? 'rejected' : 'unreachable'
}

function bodyWrong(message: string): MillraceError {
  return new MillraceError(message, { code: 'origin-body-wrong', source: 'origin', retryable: true })
}
