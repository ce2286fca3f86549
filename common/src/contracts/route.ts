import { createHmac, timingSafeEqual } from 'node:crypto'
import { NODE_ID, type NodeId, type Rev, type VideoId } from './ids.js'

/**
 * The first path element of every edge URL: the origins that hold the asset, best first, joined by `.`;
 * signed: `<ids>~v1~<exp>~<kid>~<mac>`.
 *
 *   mac = base64url(HMAC-SHA-256(key, "v1\n<ids>\n<exp>\n<kid>\n<videoId>/<rev>")), exp in Unix seconds
 *
 * Test vector: key "millrace-test-key-0123456789abcdef", kid "k1", ids "o1.o3", exp 1900000000,
 * asset "01hzy3v8k2m4n6p8q0r2s4t6v8/r1" → see route.test.ts.
 */
export interface Route {
  /** Origin ids in the order in which they are to be asked. */
  origins: NodeId[]
  signature?: { exp: number; kid: string; mac: string }
}

/** kid → secret. Several keys at once, so that keys can be rotated. */
export type RouteKeys = ReadonlyMap<string, Buffer>

export type RouteVerdict = 'valid' | 'unsigned' | 'expired' | 'unknown-key' | 'bad-mac'

export const MAX_ROUTE_ORIGINS = 16
const MAX_ROUTE_LENGTH = MAX_ROUTE_ORIGINS * 33 + 128
/** Of 32 bytes in base64url, 43 characters, the last has two bits to spare: only 0 there is canonical, so that one signature has one text. */
const SIGNATURE = /^v1~([1-9][0-9]{0,11})~([a-z0-9]{1,16})~([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])$/
export const KEY_ID = /^[a-z0-9]{1,16}$/

export function parseRoute(text: string): Route | undefined {
  if (text.length === 0 || text.length > MAX_ROUTE_LENGTH) return undefined
  const tilde = text.indexOf('~')
  const ids = (tilde < 0 ? text : text.slice(0, tilde)).split('.')
  if (ids.length > MAX_ROUTE_ORIGINS || !ids.every((id) => NODE_ID.test(id))) return undefined
  if (tilde < 0) return { origins: ids }
  const match = SIGNATURE.exec(text.slice(tilde + 1))
  if (!match) return undefined
  return { origins: ids, signature: { exp: Number(match[1]), kid: match[2]!, mac: match[3]! } }
}

export function formatRoute(route: Route): string {
  const ids = route.origins.join('.')
  const signed = route.signature
  return signed ? `${ids}~v1~${signed.exp}~${signed.kid}~${signed.mac}` : ids
}

/** The route without its mac: what logs may show. */
export function redactRoute(text: string): string {
  const tilde = text.indexOf('~')
  return tilde < 0 ? text : `${text.slice(0, tilde)}~signed`
}

export function signRoute(input: { origins: NodeId[]; exp: number; kid: string; key: Buffer; videoId: VideoId; rev: Rev }): string {
  const mac = macOf(input.key, input.origins, input.exp, input.kid, input.videoId, input.rev)
  return formatRoute({ origins: input.origins, signature: { exp: input.exp, kid: input.kid, mac: mac.toString('base64url') } })
}

/** Compares in constant time. `nowSeconds` is Unix time. */
export function verifyRoute(route: Route, videoId: VideoId, rev: Rev, keys: RouteKeys, nowSeconds: number): RouteVerdict {
  const signed = route.signature
  if (!signed) return 'unsigned'
  const key = keys.get(signed.kid)
  if (!key) return 'unknown-key'
  const expected = macOf(key, route.origins, signed.exp, signed.kid, videoId, rev)
  const given = Buffer.from(signed.mac, 'base64url')
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return 'bad-mac'
  return signed.exp > nowSeconds ? 'valid' : 'expired'
}

const SIX_HOURS = 6 * 3600
const TEN_MINUTES = 600

/** At least max(6 h, 3 × duration) away, rounded up to 10 minutes so that URLs stay cacheable. Unix seconds. */
export function routeExpiry(nowSeconds: number, durationSeconds: number): number {
  const earliest = nowSeconds + Math.max(SIX_HOURS, 3 * durationSeconds)
  return Math.ceil(earliest / TEN_MINUTES) * TEN_MINUTES
}

function macOf(key: Buffer, origins: NodeId[], exp: number, kid: string, videoId: VideoId, rev: Rev): Buffer {
  return createHmac('sha256', key)
    .update(`v1\n${origins.join('.')}\n${exp}\n${kid}\n${videoId}/${rev}`)
    .digest()
}
