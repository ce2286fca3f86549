import { createHash } from 'node:crypto'

/** Names a stored response. Route, signature and query never enter it: every viewer of a path shares one entry. */
export interface CacheKey {
  /** Canonical origin data path. */
  path: string
  /** 32 hex digits; names the file, indexes the entry. */
  hash: string
}

export const KEY_HASH = /^[0-9a-f]{32}$/

/** 128 bits of SHA-256: no collision is to be had, and the path in the entry header is compared all the same. */
export function cacheKey(path: string): CacheKey {
  return { path, hash: createHash('sha256').update(path).digest('hex').slice(0, 32) }
}
