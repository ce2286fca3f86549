import type { BodyReader } from '../cache/body.js'
import type { FillMeta } from '../cache/entry-meta.js'
import type { Attempt, OriginAnswer } from '../origin/contract.js'
import { type FillBodyDependencies, fillBody } from './bodies.js'
import type { FillRequest, Keeper, MissCause, PassReason } from './contract.js'

/** What a request is answered with. */
export type Found<T> =
  /** As it is stored: fresh, or just confirmed by its origin. */
  | { kind: 'stored'; entry: T; revalidated: boolean }
  /** From a fill, which this request led or joined. Whoever gets it closes `body`. `stored`: a disk is taking it. */
  | {
      kind: 'body'
      led: boolean
      cause: MissCause
      meta: FillMeta
      body: BodyReader
      stored: boolean
    }
  /** Remembered: no origin of the route has it. */
  | { kind: 'negative' }
  /** Not for the cache, or the way to it is too crooked: to be fetched from these origins past it, unless its answer is here. */
  | { kind: 'pass'; order: readonly string[]; reason: PassReason; answer?: OriginAnswer }
  /** Every origin of the route was asked. */
  | { kind: 'exhausted'; attempts: Attempt[] }

export interface FindDependencies<T> extends FillBodyDependencies {
  /** Opens the stored entry of this request's key; undefined when it can't be read. */
  openStored: () => Promise<T | undefined>
}

/** A request follows fills that other requests lead; after this many that came to nothing it goes its own way. */
const MAX_ROUNDS = 4

/**
 * Follows a request through the keeper. The failure of a fill counts for a request only as far as it asked the request's own origins;
 * with the others the request goes on.
 *
 * @throws MillraceError `edge-busy` (503)
 */
export async function find<T>(keeper: Keeper, request: FillRequest, dependencies: FindDependencies<T>): Promise<Found<T>> {
  const tried = new Map<string, Attempt>()
  let order = request.order
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const opened = await keeper.open({ ...request, order })
    if (opened.kind === 'pass') return { kind: 'pass', order, reason: opened.reason }
    if (opened.kind === 'missing') {
      for (const origin of order) tried.set(origin, { origin, outcome: 'missing' })
      const attempts = [...tried.values()]
      return attempts.every((attempt) => attempt.outcome === 'missing') ? { kind: 'negative' } : { kind: 'exhausted', attempts }
    }
    const head = opened.kind === 'fill' ? await opened.fill.head : opened
    if (head.kind === 'pass') return { ...head, order }
    if (head.kind === 'stored') {
      const entry = await dependencies.openStored()
      if (entry !== undefined) return { kind: 'stored', entry, revalidated: head.revalidated }
      // Whoever could not read it has said so to the keeper.
      continue
    }
    if (head.kind === 'ready') {
      const { fill, led } = opened as Extract<typeof opened, { kind: 'fill' }>
      const body = fillBody(fill, head, dependencies)
      if (body) {
        const stored = head.location.kind === 'file'
        return { kind: 'body', led, cause: head.cause, meta: head.meta, body, stored }
      }
      // The fill ended in memory before it was read.
      continue
    }
    for (const attempt of countedFor(order, head.attempts)) tried.set(attempt.origin, attempt)
    order = request.order.filter((origin) => !tried.has(origin))
    if (order.length === 0) return { kind: 'exhausted', attempts: [...tried.values()] }
  }
  return { kind: 'pass', order, reason: 'not-now' }
}

/**
 * The attempts of a fill that are as good as this request's own. Whom the leader was not let ask, for want of retries, this one may ask
 * first: that is no retry, unless another of its origins was asked.
 */
function countedFor(order: readonly string[], attempts: readonly Attempt[]): Attempt[] {
  const own = attempts.filter((attempt) => order.includes(attempt.origin))
  return own.every((attempt) => attempt.outcome === 'retry-budget') ? [] : own
}
