import {
  type Asset,
  type AudioFile,
  MULTIVARIANT_PLAYLIST,
  playlistName,
  sequencesOf,
  type TextFile,
  type VideoFile,
} from '@millrace/common/contracts/asset'
import { fragmentName, initName } from '@millrace/common/contracts/media-url'
import { MillraceError } from '@millrace/common/errors'
import { fragmentHeaderBytes } from '../fragment.js'

/** What both manifests say of a track that is cut into segments. */
interface Segmented {
  /** 1-based position in the asset: the `f<k>` of its URLs. */
  sequence: number
  playlist: string
  /** Seconds of each segment, and of all. */
  durations: number[]
  seconds: number
  /** Bits per second as delivered, fragment headers included. */
  peak: number
  average: number
}
interface Named {
  /** One line of plain text, unique among the tracks of its kind. */
  name: string
  /** BCP 47; absent where it isn't known. */
  language: string | undefined
  /** At most one of its kind; for audio exactly one. */
  isDefault: boolean
  /** Whether a player may choose it by itself: only one of those that it couldn't tell apart. */
  autoselect: boolean
}
export type VideoTrack = Segmented & { file: VideoFile }
export type AudioTrack = Segmented & Named & { file: AudioFile }
export type TextTrack = Named & { file: TextFile; sequence: number; playlist: string }

export interface Tracks {
  video: VideoTrack[]
  audio: AudioTrack[]
  text: TextTrack[]
  /** Of the longest track. */
  seconds: number
  /** From the manifests' folder `/files/<videoId>/<rev>/` to the segments', relative, so that a route before both carries through. */
  segmentFolder: string
}

/**
 * @param durations seconds per segment of each sequence, as the packager tells
 * @throws MillraceError `bad-asset-json` when nothing can be played, or when two playlists would share a name.
 */
export function tracksOf(asset: Asset, durations: readonly (readonly number[])[]): Tracks {
  const files = sequencesOf(asset).map((file, i) => ({
    file,
    sequence: i + 1,
    playlist: playlistName(file.name),
    durations: [...(durations[i] ?? [])],
  }))
  const names = new Set([MULTIVARIANT_PLAYLIST, ...files.map((track) => track.playlist)])
  if (names.size !== files.length + 1) throw badAsset('two sequences would share the name of their playlist')
  const video: VideoTrack[] = []
  const audio: (Segmented & { file: AudioFile })[] = []
  const text: Omit<TextTrack, keyof Named>[] = []
  for (const { file, ...track } of files) {
    if (file.role === 'text') text.push({ file, ...track })
    else if (track.durations.length === 0) throw badAsset(`no segment durations for ${file.name}`)
    else if (file.role === 'video') video.push({ file, ...track, ...rates(file, track.durations, file.frameRate.num / file.frameRate.den) })
    else audio.push({ file, ...track, ...rates(file, track.durations, file.sampleRate / samplesPerFrame(file.codecs)) })
  }
  const segmented = [...video, ...audio]
  if (segmented.length === 0) throw badAsset('neither video nor audio')
  return {
    video,
    audio: named(audio, ({ file }) => ({ wanted: file.default, kind: '' }), true),
    text: named(text, ({ file }) => ({ wanted: file.default, kind: file.forced ? 'forced' : '' }), false),
    seconds: Math.max(...segmented.map((track) => track.seconds)),
    segmentFolder: `../../../dash/${asset.videoId}/${asset.rev}/`,
  }
}

export function initUrl(tracks: Tracks, track: VideoTrack | AudioTrack): string {
  return tracks.segmentFolder + initName(track.sequence, mediaOf(track))
}

export function fragmentUrl(tracks: Tracks, track: VideoTrack | AudioTrack, number: number): string {
  return tracks.segmentFolder + fragmentName(number, track.sequence, mediaOf(track))
}

/** `f<k>-v1-x3`: what the URLs of one track share. */
export function urlName(track: VideoTrack | AudioTrack): string {
  return `f${track.sequence}-${mediaOf(track)}1-x3`
}

function mediaOf(track: VideoTrack | AudioTrack): 'v' | 'a' {
  return track.file.role === 'video' ? 'v' : 'a'
}

/** Text from a source file as one printable line without double quotes, which nothing can escape in an HLS quoted-string (RFC 8216bis §4.2). */
export function plain(text: string): string {
  const printable = text.replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}\ufeff]/gu, ' ')
  return printable.replaceAll('"', "'").replace(/\s+/g, ' ').trim()
}

/** ISO 639-2 (also its bibliographic codes) or BCP 47 → canonical BCP 47. */
export function languageTag(language: string): string | undefined {
  try {
    const tag = Intl.getCanonicalLocales(language)[0]
    return tag === 'und' ? undefined : tag
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function named<T extends { file: AudioFile | TextFile }>(
  tracks: T[],
  facts: (track: T) => { wanted: boolean; kind: string },
  needsDefault: boolean,
): (T & Named)[] {
  const wanted = tracks.findIndex((track) => facts(track).wanted)
  const chosen = wanted < 0 && needsDefault ? 0 : wanted
  const names = new Set<string>()
  const kinds = tracks.map((track) => `${languageTag(track.file.language) ?? ''} ${facts(track).kind}`)
  return tracks.map((track, i) => {
    const language = languageTag(track.file.language)
    const base = plain(track.file.label) || language || 'Unnamed'
    let name = base
    for (let n = 2; names.has(name); n++) name = `${base} (${n})`
    names.add(name)
    const isDefault = i === chosen
    const rival = chosen >= 0 && kinds[chosen] === kinds[i] ? chosen : kinds.indexOf(kinds[i]!)
    return { ...track, name, language, isDefault, autoselect: isDefault || rival === i }
  })
}

/**
 * The rates in `asset.json` count samples only. By RFC 8216bis §4.4.6.2 the peak is taken over segments of at least half the target
 * duration, so a last one shorter than that doesn't weigh its header.
 */
function rates(
  file: VideoFile | AudioFile,
  durations: number[],
  framesPerSecond: number,
): { seconds: number; peak: number; average: number } {
  const seconds = durations.reduce((sum, duration) => sum + duration, 0)
  // Not by spreading: a week of segments are more arguments than a call takes.
  const longest = durations.reduce((most, duration) => Math.max(most, duration))
  const shortest = Math.max(
    durations.reduce((least, duration) => Math.min(least, duration)),
    longest / 2,
  )
  const overhead = (perSegment: number) => (8 * fragmentHeaderBytes(file.role, framesPerSecond * perSegment)) / perSegment
  const average = Math.ceil(file.averageBitrate + overhead(seconds / durations.length))
  return { seconds, average, peak: Math.max(average, Math.ceil(file.peakBitrate + overhead(shortest))) }
}

function samplesPerFrame(codecs: string): number {
  if (codecs.startsWith('mp4a')) return 1024
  return /^[ae]c-3/.test(codecs) ? 1536 : 960
}

function badAsset(message: string): MillraceError {
  return new MillraceError(`asset.json: ${message}`, { code: 'bad-asset-json', source: 'source-media', retryable: false })
}
