import type { HeaderField } from '../cache/entry-meta.js'
import type { Trace } from './trace.js'

/**
 * How one origin answered one request; a metrics label. `busy`: no connection to it was free in time. `retry-budget`: it would have been
 * next, but was not asked, because retries have used up their share.
 */
export const ATTEMPT_OUTCOMES = ['ok', 'missing', 'timeout', 'unreachable', 'server-error', 'rejected', 'busy', 'retry-budget'] as const
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number]

export interface Attempt {
  origin: string
  outcome: AttemptOutcome
}

export interface OriginRequest {
  /** A fill reads as fast as its origin sends; what passes by the cache goes at a client's pace. */
  purpose: 'fill' | 'pass' | 'probe'
  method: string
  /** Path, in generic mode with its query. */
  path: string
  /** Beside the edge's own (Via, X-Request-Id, traceparent, in media mode Accept-Encoding and User-Agent). */
  headers?: readonly HeaderField[]
  /** Generic mode only; not repeated on another origin once a byte was sent. */
  body?: AsyncIterable<Uint8Array>
  mode: 'media' | 'generic'
  trace?: Trace | undefined
  signal: AbortSignal
}

export interface OriginAnswer {
  origin: string
  status: number
  /** Names in lower case; several lines of one name joined by a comma. */
  headers: Record<string, string | undefined>
  /** As they came, in order, names in lower case. */
  fields: readonly HeaderField[]
  /** Of the body, where the origin says so. */
  length: number | undefined
  /**
   * Its first bytes are here already: an origin that breaks before them has not answered. Read once, or discarded.
   *
   * @throws MillraceError `origin-timeout` or `origin-unreachable` from the iteration when the body ends early.
   */
  body: AsyncIterable<Uint8Array>
  /** Lets go of a body that nobody reads. A short one is read to its end behind the scenes, which keeps the connection. */
  discard: () => void
  /** It is read at its client's pace from now on: its connection is no longer one of those for fills. */
  leaveFills: () => void
}

export type Fetched = { ok: true; answer: OriginAnswer; attempts: Attempt[] } | { ok: false; attempts: Attempt[] }

/** All origins of this edge. */
export interface OriginGroup {
  /** The known ones of a route, in the order to ask them; empty when none is known. */
  order(route: readonly string[]): string[]
  /**
   * Asks one after the other until one answers with a wanted status and its first byte: as `order` has them, but those that are down here and
   * now last. When it is exhausted without an answer, the remaining known origins are asked once, where `beyondRoute` says so. `attempts` has
   * all of them, and as `unreachable` those that are not known here. Ends at once when the signal aborts.
   *
   * @throws MillraceError `unsendable` (400) for a request that HTTP/1.1 can't carry, `body-too-slow` (408) when its body doesn't come, and
   *   whatever `request.body` throws
   */
  fetch(order: readonly string[], request: OriginRequest & { wanted: (status: number) => boolean; beyondRoute?: boolean }): Promise<Fetched>
  /**
   * The answer's body, which goes on at another origin of `order` when its own breaks, in media mode then at any other known one: from the byte
   * where it broke, if ETag and whole length are equal there and the 64 KiB before that byte match.
   *
   * @param readBack bytes [start, end) of what was handed over already
   * @throws MillraceError `origin-…` from the iteration when no origin can go on
   */
  continued(
    answer: OriginAnswer,
    order: readonly string[],
    request: OriginRequest,
    readBack: (start: number, end: number) => Promise<Uint8Array>,
  ): AsyncIterable<Uint8Array>
}
