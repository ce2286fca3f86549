import type { OriginState } from './health.js'

/**
 * In which order a route's origins are asked: the route's own, but those that are down last. They are not left out: when nothing else
 * answers, a wrong opinion of an origin must not cost the viewer the answer. Unknown ids are skipped.
 */
export function orderOrigins(route: readonly string[], stateOf: (id: string) => OriginState | undefined): string[] {
  const usable: string[] = []
  const down: string[] = []
  for (const id of new Set(route)) {
    const state = stateOf(id)
    if (state !== undefined) (state === 'down' ? down : usable).push(id)
  }
  return [...usable, ...down]
}
