import { link, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { bytesOf } from '../harness/told-bytes.js'

/** What is fetched. Rungs of one video by size, so that every path is one that an origin has. */
export interface BenchObject {
  name: string
  path: string
  bytes: number
}

const VIDEO = '01hzy3v8k2m4n6p8q0r2s4t6v8'

export const SEGMENT: BenchObject = { name: '1.7 MB segment', path: segmentPath(1, 1), bytes: 1_700_000 }
export const SMALL_SEGMENT: BenchObject = { name: '200 KB segment', path: segmentPath(1, 2), bytes: 200_000 }
export const PLAYLIST: BenchObject = { name: '2 KB playlist', path: `/files/${VIDEO}/r1/video-720p.m3u8`, bytes: 2048 }
/** At 1 MB/s it still comes when a second client asks a second later: nginx sends the first second's share, and then some, at once. */
export const LONG_SEGMENT: BenchObject = { name: '4 MB segment', path: segmentPath(1, 4), bytes: 4_000_000 }
export const OBJECTS = [SEGMENT, SMALL_SEGMENT, PLAYLIST]

/** Distinct objects that nobody has fetched before: for misses, and for the throttled origin. */
export function unseen(kind: 'miss' | 'throttled', index: number): BenchObject {
  const [rung, bytes] = kind === 'miss' ? [3, SMALL_SEGMENT.bytes] : [5, LONG_SEGMENT.bytes]
  return { name: `${kind} ${index}`, path: segmentPath(index + 1, rung), bytes }
}

/** Bytes of an object; the unseen ones of a kind are alike. */
export function contentOf(object: BenchObject): Buffer {
  return object === PLAYLIST ? playlistText(object.bytes) : bytesOf(SEGMENT.path, object.bytes)
}

/** Lays an origin's files out under `root`, by their data paths. */
export async function writeObjects(root: string, count: { miss: number; throttled: number }): Promise<void> {
  for (const object of [...OBJECTS, LONG_SEGMENT]) {
    const file = join(root, object.path)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, contentOf(object))
  }
  for (const kind of ['miss', 'throttled'] as const) {
    const original = kind === 'miss' ? SMALL_SEGMENT : LONG_SEGMENT
    for (let index = 0; index < count[kind]; index++) await link(join(root, original.path), join(root, unseen(kind, index).path))
  }
}

function segmentPath(number: number, rung: number): string {
  return `/dash/${VIDEO}/r1/fragment-${number}-f${rung}-v1-x3.m4s`
}

function playlistText(bytes: number): Buffer {
  let text = '#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n'
  for (let number = 1; text.length < bytes; number++) {
    text += `#EXTINF:4.000,\n../../../dash/${VIDEO}/r1/fragment-${number}-f1-v1-x3.m4s\n`
  }
  return Buffer.from(`${text.slice(0, bytes - 1)}\n`)
}
