import { type Manifest, Parser } from 'm3u8-parser'
import { fetchSegments, fetchWhole, Tally } from './fetch.js'

export interface HlsWalk {
  tally: Tally
  /** Media playlists of video renditions (audio-only: of audio), best first. */
  variants: string[]
  segmentUrls: Set<string>
}

/** Downloads everything that an HLS player could: multivariant playlist, every media playlist, every segment and init. */
export async function walkHls(url: string): Promise<HlsWalk> {
  const tally = new Tally()
  const main = await playlist(url, tally)
  if (!main.playlists || main.playlists.length === 0) throw new Error(`${url} names no variant`)
  const variants = [...main.playlists]
    .sort((a, b) => (b.attributes?.BANDWIDTH ?? 0) - (a.attributes?.BANDWIDTH ?? 0))
    .map((variant) => new URL(variant.uri, url).href)
  const media = new Set(variants)
  for (const group of [main.mediaGroups?.AUDIO, main.mediaGroups?.SUBTITLES]) {
    for (const renditions of Object.values(group ?? {})) {
      for (const rendition of Object.values(renditions)) if (rendition.uri) media.add(new URL(rendition.uri, url).href)
    }
  }
  const segmentUrls = new Set<string>()
  for (const mediaUrl of media) {
    const { segments, endList } = await playlist(mediaUrl, tally)
    if (!endList) throw new Error(`${mediaUrl} has no end`)
    if (!segments || segments.length === 0) throw new Error(`${mediaUrl} names no segment`)
    for (const segment of segments) {
      if (segment.map?.uri) segmentUrls.add(new URL(segment.map.uri, mediaUrl).href)
      segmentUrls.add(new URL(segment.uri, mediaUrl).href)
    }
  }
  await fetchSegments(segmentUrls, tally)
  return { tally, variants, segmentUrls }
}

async function playlist(url: string, tally: Tally): Promise<Manifest> {
  const fetched = await fetchWhole(url)
  tally.add(fetched, 'playlist')
  const text = fetched.body.toString('utf8')
  if (!text.startsWith('#EXTM3U')) throw new Error(`${url} is not a playlist`)
  const parser = new Parser()
  parser.push(text)
  parser.end()
  return parser.manifest
}
