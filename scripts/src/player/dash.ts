import { type DashPlaylist, parse } from 'mpd-parser'
import { fetchSegments, fetchWhole, Tally } from './fetch.js'

export interface DashWalk {
  tally: Tally
  /** Of the segments and inits alone, without the MPD. */
  segments: Tally
  segmentUrls: Set<string>
}

/** Downloads an MPD and every init, segment and text file that it names. */
export async function walkDash(url: string): Promise<DashWalk> {
  const tally = new Tally()
  const fetched = await fetchWhole(url)
  tally.add(fetched, 'playlist')
  const manifest = parse(fetched.body.toString('utf8'), { manifestUri: url })
  const playlists: DashPlaylist[] = [...manifest.playlists]
  for (const group of [manifest.mediaGroups.AUDIO, manifest.mediaGroups.SUBTITLES]) {
    for (const renditions of Object.values(group ?? {}))
      for (const rendition of Object.values(renditions)) playlists.push(...rendition.playlists)
  }
  const segmentUrls = new Set<string>()
  for (const playlist of playlists) {
    for (const segment of playlist.segments) {
      if (segment.map?.resolvedUri) segmentUrls.add(segment.map.resolvedUri)
      segmentUrls.add(segment.resolvedUri)
    }
  }
  if (segmentUrls.size === 0) throw new Error(`${url} names no segment`)
  const segments = new Tally()
  await fetchSegments(segmentUrls, segments)
  tally.merge(segments)
  return { tally, segments, segmentUrls }
}
