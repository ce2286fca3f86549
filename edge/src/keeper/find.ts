import type { BodyReader } from '../cache/body.js'
import type { FillMeta } from '../cache/entry-meta.js'
import type { Attempt } from '../origin/contract.js'
import { type FillBodyDependencies, fillBody } from './bodies.js'
import type { FillRequest, Keeper, MissCause, PassReason } from './contract.js'

/** What a request is answered with. */
export type Found<T> =
  /** As it is stored: fresh, or just confirmed by its origin. */
  | { kind: 'stored'; entry: T; revalidated: boolean }
  /** From a fill, which this request led or joined; `lost` as `Growth.lost`. Whoever gets it closes `body`. */
  | { kind: 'body'; led: boolean; cause: MissCause; meta: FillMeta; body: BodyReader; lost: () => boolean }
  /** Remembered: no origin of the route has it. */
  | { kind: 'negative' }
  /** Not for the cache, or the way to it is too crooked: to be fetched from these origins past it. */
  | { kind: 'pass'; order: readonly string[]; reason: PassReason }
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
    if (head.kind === 'pass') return { kind: 'pass', order, reason: head.reason }
    if (head.kind === 'stored') {
      const entry = await dependencies.openStored()
      if (entry !== undefined) return { kind: 'stored', entry, revalidated: head.revalidated }
      // Whoever could not read it has said so to the keeper.
      continue
    }
    if (head.kind === 'ready') {
      const { fill, led } = opened as Extract<typeof opened, { kind: 'fill' }>
      const body = fillBody(fill, head, dependencies)
      if (body) return { kind: 'body', led, cause: head.cause, meta: head.meta, body, lost: () => fill.lost === true }
      // The fill ended in memory before it was read.
      continue
    }
    for (const attempt of head.attempts) if (request.order.includes(attempt.origin)) tried.set(attempt.origin, attempt)
    order = request.order.filter((origin) => !tried.has(origin))
    if (order.length === 0) return { kind: 'exhausted', attempts: [...tried.values()] }
  }
  return { kind: 'pass', order, reason: 'not-now' }
}
