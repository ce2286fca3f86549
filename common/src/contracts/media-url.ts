import { type Rev, revSchema, type VideoId, videoIdSchema } from './ids.js'

/**
 * Origin data URLs, the one vocabulary of origin and edge:
 *
 *   /dash/<videoId>/<rev>/init-f<k>-<v1|a1>-x3.mp4
 *   /dash/<videoId>/<rev>/fragment-<n>-f<k>-<v1|a1>-x3.m4s
 *   /files/<videoId>/<rev>/<file>     manifests, WebVTT, poster, storyboard, mp4 where allowed
 *   /hls/<videoId>/<rev>/<file>       the module's own HLS names, for old links only
 *
 * k = 1-based position of the sequence in vod.json; n = 1-based segment number.
 */
export type MediaPath = { videoId: VideoId; rev: Rev } & (
  | { kind: 'init'; sequence: number; media: 'v' | 'a' }
  | { kind: 'fragment'; sequence: number; media: 'v' | 'a'; number: number }
  | { kind: 'file'; name: string }
  | { kind: 'hls'; name: string }
)

/** What a path carries; decides freshness, tiering and metrics labels. */
export type MediaClass = 'segment' | 'init' | 'playlist' | 'text' | 'image' | 'download'

/** A file inside an asset; no separators, no leading dot, so a name can't leave its folder. */
export const FILE_NAME = /^[a-z0-9][a-z0-9._-]{0,95}$/

/** Longest canonical data path: far above what we ever name, far below what parsers choke on. */
export const MAX_MEDIA_PATH = 256

const PATH = /^\/(dash|files|hls)\/([0-9a-z]{26})\/(r[1-9][0-9]{0,8})\/([a-z0-9][a-z0-9._-]{0,95})$/
const INIT = /^init-f([1-9][0-9]?)-([va])1-x3\.mp4$/
const FRAGMENT = /^fragment-([1-9][0-9]{0,6})-f([1-9][0-9]?)-([va])1-x3\.m4s$/

/** @returns undefined for anything but one canonical data path: no query, no escapes, no `..`. */
export function parseMediaPath(path: string): MediaPath | undefined {
  if (path.length > MAX_MEDIA_PATH) return undefined
  const match = PATH.exec(path)
  if (!match) return undefined
  const [, family, videoId, rev, name] = match as unknown as [string, string, string, string, string]
  if (name.includes('..')) return undefined
  if (family === 'files') return { kind: 'file', videoId, rev, name }
  if (family === 'hls') return { kind: 'hls', videoId, rev, name }
  const fragment = FRAGMENT.exec(name)
  if (fragment)
    return { kind: 'fragment', videoId, rev, number: Number(fragment[1]), sequence: Number(fragment[2]), media: fragment[3] as 'v' | 'a' }
  const init = INIT.exec(name)
  if (init) return { kind: 'init', videoId, rev, sequence: Number(init[1]), media: init[2] as 'v' | 'a' }
  return undefined
}

/** The inverse of `parseMediaPath`. */
export function formatMediaPath(path: MediaPath): string {
  const folder = `${path.videoId}/${path.rev}`
  switch (path.kind) {
    case 'init':
      return `/dash/${folder}/${initName(path.sequence, path.media)}`
    case 'fragment':
      return `/dash/${folder}/${fragmentName(path.number, path.sequence, path.media)}`
    case 'file':
      return `/files/${folder}/${path.name}`
    case 'hls':
      return `/hls/${folder}/${path.name}`
  }
}

export function initName(sequence: number, media: 'v' | 'a'): string {
  return `init-f${sequence}-${media}1-x3.mp4`
}

export function fragmentName(number: number, sequence: number, media: 'v' | 'a'): string {
  return `fragment-${number}-f${sequence}-${media}1-x3.m4s`
}

export function mediaClass(path: MediaPath): MediaClass {
  if (path.kind === 'init') return 'init'
  if (path.kind === 'fragment') return 'segment'
  const extension = path.name.slice(path.name.lastIndexOf('.') + 1)
  switch (extension) {
    case 'm3u8':
    case 'mpd':
      return 'playlist'
    case 'vtt':
      return 'text'
    case 'jpg':
    case 'png':
    case 'webp':
      return 'image'
    case 'm4s':
    case 'ts':
      return 'segment'
    default:
      return path.kind === 'hls' && path.name.startsWith('init-') ? 'init' : 'download'
  }
}

const CONTENT_TYPES: Record<string, string> = {
  m3u8: 'application/vnd.apple.mpegurl',
  mpd: 'application/dash+xml',
  vtt: 'text/vtt',
  jpg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  mp4: 'video/mp4',
  m4s: 'video/mp4',
  json: 'application/json',
}

/** As nginx-vod-module answers them: audio init and fragments are audio/mp4. */
export function contentType(path: MediaPath): string {
  if (path.kind === 'init' || path.kind === 'fragment') return path.media === 'a' ? 'audio/mp4' : 'video/mp4'
  return CONTENT_TYPES[path.name.slice(path.name.lastIndexOf('.') + 1)] ?? 'application/octet-stream'
}

/** `<videoId>/<rev>`: what a signature covers and a purge names. */
export function assetKey(videoId: VideoId, rev: Rev): string {
  videoIdSchema.parse(videoId)
  revSchema.parse(rev)
  return `${videoId}/${rev}`
}
