import { type AudioTrack, fragmentUrl, initUrl, plain, type TextTrack, type Tracks, type VideoTrack } from './tracks.js'

/** EXT-X-MAP in a playlist that isn't I-frames only asks for 6; 7 is what fMP4 players look for (RFC 8216bis §8). */
const HEAD = ['#EXTM3U', '#EXT-X-VERSION:7']
const AUDIO_GROUP = 'audio'
const TEXT_GROUP = 'subtitles'
/** Players without a bandwidth estimate begin with the first variant. */
const FIRST_SHORT_SIDE = 720

/** The multivariant playlist (RFC 8216bis §4.4.6): a variant per video rung, or one variant where there is only sound. */
export function renderMultivariant(tracks: Tracks): string {
  const audioGroup = tracks.audio.length > (tracks.video.length > 0 ? 0 : 1)
  const lines = [...HEAD, '#EXT-X-INDEPENDENT-SEGMENTS', '']
  if (audioGroup) lines.push(...tracks.audio.map(audioRendition), '')
  if (tracks.text.length > 0) lines.push(...tracks.text.map(textRendition), '')
  const groups = { ...(audioGroup && { AUDIO: quoted(AUDIO_GROUP) }), ...(tracks.text.length > 0 && { SUBTITLES: quoted(TEXT_GROUP) }) }
  for (const video of inStartingOrder(tracks.video))
    lines.push(`#EXT-X-STREAM-INF:${attributes({ ...videoVariant(video, tracks.audio), ...groups })}`, video.playlist)
  const main = tracks.audio.find((track) => track.isDefault)
  if (tracks.video.length === 0 && main) {
    // The variant is the default audio's own playlist: a player that knows no groups plays that, others see that both are one.
    lines.push(`#EXT-X-STREAM-INF:${attributes({ ...rates(tracks.audio), CODECS: codecs(tracks.audio), ...groups })}`, main.playlist)
  }
  return text(lines)
}

/** The media playlist of a video or audio track (§4.4.3). */
export function renderMediaPlaylist(tracks: Tracks, track: VideoTrack | AudioTrack): string {
  const segments = track.durations.flatMap((seconds, i) => [extinf(seconds), fragmentUrl(tracks, track, i + 1)])
  return text([
    ...mediaHead(longestSegments(tracks)),
    '#EXT-X-INDEPENDENT-SEGMENTS',
    `#EXT-X-MAP:URI=${quoted(initUrl(tracks, track))}`,
    ...segments,
    '#EXT-X-ENDLIST',
  ])
}

/** The media playlist of a text track: the whole WebVTT file is its one segment. */
export function renderTextPlaylist(tracks: Tracks, track: TextTrack): string {
  return text([...mediaHead([tracks.seconds]), extinf(tracks.seconds), track.file.name, '#EXT-X-ENDLIST'])
}

/** First the largest rung up to 720p, where a viewer's first seconds neither stall nor blur; then the others, largest first. */
function inStartingOrder(video: readonly VideoTrack[]): VideoTrack[] {
  const shortSide = ({ file }: VideoTrack) => Math.min(file.width, file.height)
  const descending = [...video].sort((a, b) => shortSide(b) - shortSide(a) || b.peak - a.peak)
  const first = descending.find((track) => shortSide(track) <= FIRST_SHORT_SIDE) ?? descending.at(-1)
  return first ? [first, ...descending.filter((track) => track !== first)] : []
}

function videoVariant(video: VideoTrack, audio: readonly AudioTrack[]): Record<string, string> {
  const { width, height, frameRate, videoRange } = video.file
  return {
    ...rates(audio, video),
    CODECS: codecs([video, ...audio]),
    RESOLUTION: `${width}x${height}`,
    'FRAME-RATE': (frameRate.num / frameRate.den).toFixed(3),
    'VIDEO-RANGE': videoRange,
  }
}

/** With the heaviest rendition of the audio group, whatever the viewer selects (§4.4.6.2). */
function rates(audio: readonly AudioTrack[], video?: VideoTrack): Record<string, string> {
  const heaviest = (rate: 'peak' | 'average') => (video?.[rate] ?? 0) + Math.max(0, ...audio.map((track) => track[rate]))
  return { BANDWIDTH: `${heaviest('peak')}`, 'AVERAGE-BANDWIDTH': `${heaviest('average')}` }
}

function codecs(tracks: readonly (VideoTrack | AudioTrack)[]): string {
  return quoted([...new Set(tracks.map((track) => track.file.codecs))].join(','))
}

function audioRendition(track: AudioTrack): string {
  return `#EXT-X-MEDIA:${attributes({ ...rendition('AUDIO', AUDIO_GROUP, track), CHANNELS: quoted(`${track.file.channels}`), URI: quoted(track.playlist) })}`
}

function textRendition(track: TextTrack): string {
  return `#EXT-X-MEDIA:${attributes({ ...rendition('SUBTITLES', TEXT_GROUP, track), FORCED: yesNo(track.file.forced), URI: quoted(track.playlist) })}`
}

function rendition(type: string, group: string, track: AudioTrack | TextTrack): Record<string, string> {
  return {
    TYPE: type,
    'GROUP-ID': quoted(group),
    NAME: quoted(track.name),
    ...(track.language && { LANGUAGE: quoted(track.language) }),
    DEFAULT: yesNo(track.isDefault),
    AUTOSELECT: yesNo(track.autoselect),
  }
}

/** §6.2.4: all playlists have one target duration; only those of subtitles may differ. */
function longestSegments({ video, audio }: Tracks): number[] {
  return [...video, ...audio].map((track) => track.durations.reduce((most, seconds) => Math.max(most, seconds)))
}

function mediaHead(durations: readonly number[]): string[] {
  // §4.4.3.1: no EXTINF, rounded to the nearest integer, may exceed it.
  const target = durations.reduce((most, seconds) => Math.max(most, Math.round(Number(seconds.toFixed(6)))), 1)
  return [...HEAD, `#EXT-X-TARGETDURATION:${target}`, '#EXT-X-PLAYLIST-TYPE:VOD']
}

function extinf(seconds: number): string {
  return `#EXTINF:${seconds.toFixed(6)},`
}

function attributes(values: Record<string, string>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(',')
}

function quoted(value: string): string {
  return `"${plain(value)}"`
}

function yesNo(value: boolean): string {
  return value ? 'YES' : 'NO'
}

function text(lines: string[]): string {
  return `${lines.join('\n')}\n`
}
