import { formatMediaPath, type MediaPath, mediaClass, parseMediaPath } from '@millrace/common/contracts/media-url'

/** A media request whose successor may be fetched ahead. */
export interface MediaRequest {
  /** The URL's path as sent: `/<route>/<data path>`. */
  url: string
  /** The data path, parsed. */
  media: MediaPath
}

/** Only what is small, and what players ask for one after the other. Never a playlist, which is there first, nor a download. */
const AHEAD: ReadonlySet<string> = new Set(['segment', 'init', 'text'])

/** Longer ones are never ours: a data path has at most 256 characters. */
const MAX_NEXT = 1024

/**
 * The data path of the object that the player says it will ask for next (CTA-5004 `nor`, a URL relative to this request; version 1
 * percent-encodes it). It has to be a media path of the same asset under the same route: what a client writes there must not make this
 * edge ask for anything that this request's signature doesn't cover.
 */
export function namedNext(request: MediaRequest, nor: string): string | undefined {
  if (nor.length > MAX_NEXT) return undefined
  const named = decodeOnce(nor)
  // The URL parser takes backslashes for slashes and drops control characters and spaces: no path of ours has any.
  if (named === undefined || !/^[\x21-\x5b\x5d-\x7e]+$/.test(named)) return undefined
  const base = `http://edge.invalid${request.url}`
  if (!URL.canParse(named, base)) return undefined
  const { origin, username, password, pathname } = new URL(named, base)
  if (origin !== 'http://edge.invalid' || username !== '' || password !== '') return undefined
  const route = request.url.slice(0, request.url.indexOf('/', 1))
  if (!pathname.startsWith(`${route}/`)) return undefined
  const path = pathname.slice(route.length)
  const media = parseMediaPath(path)
  if (!media || media.videoId !== request.media.videoId || media.rev !== request.media.rev || !AHEAD.has(mediaClass(media)))
    return undefined
  return path === formatMediaPath(request.media) ? undefined : path
}

/** The data path of the following fragment of the same sequence; whether there is one only an origin knows. */
export function numberedNext({ media }: MediaRequest): string | undefined {
  if (media.kind !== 'fragment') return undefined
  const path = formatMediaPath({ ...media, number: media.number + 1 })
  return parseMediaPath(path) ? path : undefined
}

function decodeOnce(text: string): string | undefined {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    // A percent sign that encodes nothing: no URL.
    return undefined
  }
}
