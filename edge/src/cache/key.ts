import { hash } from 'node:crypto'

/** Names a stored response. Route and signature never enter it: every viewer of a path shares one entry. */
export interface CacheKey {
  /** Media: the canonical origin data path. Generic mode: `<origin id> <path and query>`, for a variant followed by what selects it. */
  text: string
  /** 32 hex digits; names the file, indexes the entry. */
  hash: string
}

export const KEY_HASH = /^[0-9a-f]{32}$/

/** 128 bits of SHA-256: no collision is to be had, and the text in the entry header is compared all the same. */
export function cacheKey(text: string): CacheKey {
  return { text, hash: hash('sha256', text).slice(0, 32) }
}
