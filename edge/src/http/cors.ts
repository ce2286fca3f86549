import { CACHE_HEADER, ORIGIN_HEADER } from '@millrace/common/contracts/edge-api'
import type { HeaderField } from '../cache/entry-meta.js'

const EXPOSED = ['accept-ranges', 'age', 'content-length', 'content-range', 'date', 'etag', CACHE_HEADER, ORIGIN_HEADER].join(', ')
const ALLOWED = [
  'range',
  'if-range',
  'if-none-match',
  'if-modified-since',
  'cmcd-request',
  'cmcd-object',
  'cmcd-session',
  'cmcd-status',
].join(', ')

export const ALLOWED_METHODS = 'GET, HEAD, OPTIONS'

/** On every answer, also errors: a player on another site must be able to read their status. */
export function corsHeaders(origin: string): HeaderField[] {
  return [
    ['access-control-allow-origin', origin],
    ['access-control-expose-headers', EXPOSED],
    ['timing-allow-origin', origin],
  ]
}

/** Fetch standard §3.2.2: what a preflight asks for, kept by the browser for a day. */
export function preflightHeaders(): HeaderField[] {
  return [
    ['allow', ALLOWED_METHODS],
    ['access-control-allow-methods', ALLOWED_METHODS],
    ['access-control-allow-headers', ALLOWED],
    ['access-control-max-age', '86400'],
  ]
}
