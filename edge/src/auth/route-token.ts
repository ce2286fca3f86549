import type { Secret } from '@millrace/common/config/units'
import { type RouteKeys, type RouteVerdict, verifyRoute } from '@millrace/common/contracts/route'
import type { Target } from '../http/target.js'
import { refused } from '../refusal.js'

const DENIALS: Record<Exclude<RouteVerdict, 'valid'>, { code: string; message: string }> = {
  unsigned: { code: 'route-unsigned', message: 'this edge demands a signed route' },
  expired: { code: 'route-expired', message: "the route's signature has expired" },
  'unknown-key': { code: 'route-unknown-key', message: 'the route is signed with a key that this edge does not have' },
  'bad-mac': { code: 'route-bad-signature', message: "the route's signature is wrong" },
}

export interface RouteGuard {
  /** @throws MillraceError (403) with a code that says why. */
  check: (target: Target) => void
}

/**
 * Whether a signature is demanded is the edge's setting, never the URL's: else leaving it out would be a way in. A signature that is
 * given counts wherever there are keys, so that a wrong one is found before the day it is demanded.
 */
export function routeGuard(options: { keys: RouteKeys; require: boolean; now: () => number }): RouteGuard {
  return {
    check: ({ route, media }) => {
      if (!options.require && (!route.signature || options.keys.size === 0)) return
      const verdict = verifyRoute(route, media.videoId, media.rev, options.keys, Math.floor(options.now() / 1000))
      if (verdict === 'valid') return
      throw refused(403, DENIALS[verdict].code, DENIALS[verdict].message)
    },
  }
}

export function routeKeys(secrets: Readonly<Record<string, Secret>>): RouteKeys {
  return new Map(Object.entries(secrets).map(([kid, secret]) => [kid, Buffer.from(secret.reveal())]))
}
