import { type Asset, MPD, MULTIVARIANT_PLAYLIST } from '@millrace/common/contracts/asset'
import { renderMpd } from '../packager/manifests/dash.js'
import { renderMediaPlaylist, renderMultivariant, renderTextPlaylist } from '../packager/manifests/hls.js'
import { tracksOf } from '../packager/manifests/tracks.js'

/**
 * Every manifest of an asset by file name, served from `/files/<videoId>/<rev>/`: HLS and DASH over one set of segments. Pure: the same
 * asset and durations give the same texts on every origin.
 *
 * @param durations seconds per segment of each sequence, as `Packager.segmentDurations` tells
 * @throws MillraceError `bad-asset-json` when nothing can be played, or when two playlists would share a name.
 */
export function renderManifests(asset: Asset, durations: readonly (readonly number[])[]): { files: Record<string, string> } {
  const tracks = tracksOf(asset, durations)
  const files: Record<string, string> = { [MULTIVARIANT_PLAYLIST]: renderMultivariant(tracks), [MPD]: renderMpd(asset, tracks) }
  for (const track of [...tracks.video, ...tracks.audio]) files[track.playlist] = renderMediaPlaylist(tracks, track)
  for (const track of tracks.text) files[track.playlist] = renderTextPlaylist(tracks, track)
  return { files }
}
