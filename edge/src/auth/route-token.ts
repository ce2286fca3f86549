import type { Secret } from '@millrace/common/config/units'
import type { Rev, VideoId } from '@millrace/common/contracts/ids'
import type { MediaClass } from '@millrace/common/contracts/media-url'
import { type Route, type RouteKeys, type RouteVerdict, verifyRoute } from '@millrace/common/contracts/route'
import { LRUCache } from 'lru-cache'
import { refused } from '../refusal.js'
import type { Demanded } from './config.js'

const DENIALS: Record<Exclude<RouteVerdict, 'valid'>, { code: string; message: string }> = {
  unsigned: { code: 'route-unsigned', message: 'this edge demands a signed route' },
  expired: { code: 'route-expired', message: "the route's signature has expired" },
  'unknown-key': { code: 'route-unknown-key', message: 'the route is signed with a key that this edge does not have' },
  'bad-mac': { code: 'route-bad-signature', message: "the route's signature is wrong" },
}

export interface GuardOptions {
  keys: RouteKeys
  require: Demanded
  /** How long after its expiry a signature still holds. */
  skewSeconds: number
}

/** Route texts of about 100 characters each, 700 at most. */
const REMEMBERED = 50_000

/** Before every expiry: a verdict on the mac alone. */
const NO_TIME = 0

/**
 * Whether a signature is demanded is the edge's setting, never the URL's: else leaving it out would be a way in. A signature that is
 * given counts wherever there are keys, so that a wrong one is found before the day it is demanded.
 *
 * A player sends one signature with each of thousands of requests, so signatures that were found right are remembered by the whole text
 * of the route, with the one asset that each is for; the expiry is checked each time. Wrong ones are never remembered: nobody can push
 * others out by guessing, and a guess costs one HMAC. That the look-up compares text in variable time gives a guesser nothing: a Map
 * compares only texts of one seeded hash.
 */
export class CachedGuard {
  #options: GuardOptions
  #demanded: ReadonlySet<MediaClass>
  readonly #right = new LRUCache<string, { videoId: VideoId; rev: Rev }>({ max: REMEMBERED })

  constructor(options: GuardOptions) {
    this.#options = options
    this.#demanded = demandedSet(options.require)
  }

  /** Takes new settings, as after a reload: what a withdrawn key signed is no longer right. */
  configure(options: GuardOptions): void {
    this.#options = options
    this.#demanded = demandedSet(options.require)
    this.#right.clear()
  }

  setKeys(keys: RouteKeys): void {
    this.configure({ ...this.#options, keys })
  }

  /**
   * @param text the route as the request has it; `route` is it parsed
   * @throws MillraceError (403) with a code that says why.
   */
  check(text: string, route: Route, videoId: VideoId, rev: Rev, mediaClass: MediaClass, nowSeconds: number): void {
    const verdict = this.#judge(text, route, videoId, rev, mediaClass, nowSeconds)
    if (verdict !== 'valid') throw refused(403, DENIALS[verdict].code, DENIALS[verdict].message)
  }

  /** Whether `check` would let this through. */
  admits(text: string, route: Route, videoId: VideoId, rev: Rev, mediaClass: MediaClass, nowSeconds: number): boolean {
    return this.#judge(text, route, videoId, rev, mediaClass, nowSeconds) === 'valid'
  }

  #judge(text: string, route: Route, videoId: VideoId, rev: Rev, mediaClass: MediaClass, nowSeconds: number): RouteVerdict {
    const { keys, require, skewSeconds } = this.#options
    const demanded = require === true || this.#demanded.has(mediaClass)
    if (!demanded && (!route.signature || keys.size === 0)) return 'valid'
    return this.#verdict(text, route, videoId, rev, nowSeconds - skewSeconds)
  }

  #verdict(text: string, route: Route, videoId: VideoId, rev: Rev, nowSeconds: number): RouteVerdict {
    if (!route.signature) return 'unsigned'
    const known = this.#right.get(text)
    if (!known || known.rev !== rev || known.videoId !== videoId) {
      const verdict = verifyRoute(route, videoId, rev, this.#options.keys, NO_TIME)
      if (verdict !== 'valid') return verdict
      this.#right.set(text, { videoId, rev })
    }
    return route.signature.exp > nowSeconds ? 'valid' : 'expired'
  }
}

export function routeKeys(secrets: Readonly<Record<string, Secret>>): RouteKeys {
  return new Map(Object.entries(secrets).map(([kid, secret]) => [kid, Buffer.from(secret.reveal())]))
}

function demandedSet(require: Demanded): ReadonlySet<MediaClass> {
  return new Set(typeof require === 'boolean' ? [] : require)
}
