import { randomFrom } from '../harness/random.js'
import { bytesOf } from '../harness/told-bytes.js'

/** One object of the origins. Its bytes never change; how long they are fresh differs. */
export interface SoakObject {
  path: string
  bytes: number
  etag: string
  cacheControl: string
}

/** Together about ten times the cache. */
export const OBJECTS = 2000
const VIDEOS = 5

/**
 * What both origins have, and what clients expect: a function of the seed, so that three kinds of processes agree on it without a word.
 * Sizes from nothing to 1 MB, as playlists, audio and video segments have them; every fifth object goes stale in a second.
 */
export function catalogOf(seed: number): SoakObject[] {
  const random = randomFrom(seed)
  return Array.from({ length: OBJECTS }, (_, index) => {
    const video = `01hzy3v8k2m4n6p8q0r2s4t6v${index % VIDEOS}`
    const number = Math.floor(index / VIDEOS) + 1
    const shortLived = index % 5 === 4
    const path = shortLived ? `/files/${video}/r1/list-${number}.m3u8` : `/dash/${video}/r1/fragment-${number}-f1-v1-x3.m4s`
    return {
      path,
      bytes: shortLived ? Math.floor(random() * 20_000) : sizeOf(random()),
      etag: `"${video}-${number}"`,
      cacheControl: shortLived ? 'max-age=1' : 'public, max-age=31536000, immutable',
    }
  })
}

/** Mostly up to 100 KB; one in fifty empty, one in twenty from 0.5 to 1 MB. */
function sizeOf(share: number): number {
  if (share < 0.02) return 0
  if (share > 0.95) return 500_000 + Math.floor((share - 0.95) * 10_000_000)
  return 1 + Math.floor(share * 100_000)
}

export function bodyOf(object: SoakObject): Buffer {
  return bytesOf(object.path, object.bytes)
}
