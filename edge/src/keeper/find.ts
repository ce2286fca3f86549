import { GrowingBodyFile } from '../cache/body-file.js'
import type { BodyReader } from '../cache/store.js'
import { type Attempt, allMissing } from '../origin/fallback.js'
import type { FillMeta, FillRequest } from './fill.js'
import type { Keeper } from './keeper.js'

/** What a request is answered with. */
export type Found =
  /** Whoever gets it closes `body`. */
  | { kind: 'body'; phase: 'hit' | 'miss' | 'coalesced'; meta: FillMeta; body: BodyReader }
  | { kind: 'negative' }
  /** Not for the cache, or the way to it is too crooked: to be fetched from these origins past it. */
  | { kind: 'pass'; order: readonly string[] }
  /** Every origin of the route was asked. */
  | { kind: 'exhausted'; attempts: Attempt[] }

/** A request follows fills that other requests lead; after this many that came to nothing it goes its own way. */
const MAX_ROUNDS = 4

/**
 * Follows a request through the keeper. The failure of a fill counts for a request only as far as it asked the request's own origins;
 * with the others the request goes on.
 *
 * @param onFault told of an error of the cache disk, which the request then goes past
 */
export async function find(keeper: Keeper, request: FillRequest, onFault: (operation: 'open', error: unknown) => void): Promise<Found> {
  const tried = new Map<string, Attempt>()
  let order = request.order
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const opened = await keeper.open({ ...request, order })
    if (opened.kind === 'stored') return { kind: 'body', phase: 'hit', meta: opened.entry.meta, body: opened.entry.body }
    if (opened.kind === 'pass') return { kind: 'pass', order }
    if (opened.kind === 'missing') {
      for (const origin of order) tried.set(origin, { origin, outcome: 'missing' })
      const attempts = [...tried.values()]
      return allMissing(attempts) ? { kind: 'negative' } : { kind: 'exhausted', attempts }
    }
    const head = await opened.fill.head
    if (head.kind === 'pass') return { kind: 'pass', order }
    if (head.kind === 'ready') {
      let body: GrowingBodyFile | undefined
      try {
        body = await GrowingBodyFile.open(head.location, opened.fill)
      } catch (error) {
        onFault('open', error)
        return { kind: 'pass', order }
      }
      if (body) return { kind: 'body', phase: opened.led ? 'miss' : 'coalesced', meta: head.meta, body }
      // The fill ended before its file was open: what it left is in the store, or nowhere.
      continue
    }
    for (const attempt of head.attempts) if (request.order.includes(attempt.origin)) tried.set(attempt.origin, attempt)
    order = request.order.filter((origin) => !tried.has(origin))
    if (order.length === 0) return { kind: 'exhausted', attempts: [...tried.values()] }
  }
  return { kind: 'pass', order }
}
