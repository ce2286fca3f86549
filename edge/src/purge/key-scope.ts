import type { PurgeView } from './contract.js'

/**
 * Which asset a media key names, by position: `/dash/<videoId>/<rev>/…`, `/files/…`, `/hls/…`. Asked for each entry that is older than
 * the latest purge, so without a regular expression and without a look at the rest of the key.
 */
const ID_LENGTH = 26

/** Keys of generic mode begin with an origin id. */
export function isMediaKey(key: string): boolean {
  return key.charCodeAt(0) === SLASH
}

/** Where the video id begins; 0 for a key that is no media path. */
export function videoIdStart(key: string): number {
  if (!isMediaKey(key)) return 0
  const start = key.indexOf('/', 1) + 1
  return key.charCodeAt(start + ID_LENGTH) === SLASH ? start : 0
}

export function videoIdAt(key: string, start: number): string {
  return key.slice(start, start + ID_LENGTH)
}

/** Whether a key is of a video that is deleted for good. */
export function blocksKey(purges: Pick<PurgeView, 'blocks'>, key: string): boolean {
  const start = videoIdStart(key)
  return start > 0 && purges.blocks(videoIdAt(key, start))
}

/** `<videoId>/<rev>`. */
export function assetAt(key: string, start: number): string {
  const end = key.indexOf('/', start + ID_LENGTH + 1)
  return end < 0 ? key.slice(start) : key.slice(start, end)
}

/**
 * The resource a key belongs to: the key itself, or for a variant in generic mode (`<origin id> <path and query>`, then whatever selects
 * it) the part before its selector. No origin id and no URL contains a space or a control character, so the second one ends it.
 */
export function resourceOf(key: string): string {
  if (isMediaKey(key)) return key
  const start = key.indexOf(' ') + 1
  for (let i = start; i < key.length; i++) if (key.charCodeAt(i) <= SPACE) return key.slice(0, i)
  return key
}

const SLASH = 0x2f
const SPACE = 0x20
