import { type MediaPath, parseMediaPath } from '@millrace/common/contracts/media-url'
import { parseRoute, type Route } from '@millrace/common/contracts/route'
import { refused } from '../refusal.js'

/** What an edge URL names: `/<route>/<origin data path>`. */
export interface Target {
  route: Route
  /** Canonical; the cache key. */
  path: string
  media: MediaPath
}

/** Far above the longest route and the longest data path together. */
const MAX_URL = 2048

/**
 * Splits the path of a request, which is as the client sent it: never decoded, because a canonical path has nothing to decode.
 *
 * @throws MillraceError `uri-too-long` (414), `bad-path` and `bad-route` (400), `not-found` (404).
 */
export function parseTarget(path: string): Target {
  if (path.length > MAX_URL) throw refused(414, 'uri-too-long', 'the URL is too long')
  if (/[^\x21-\x7e]|[%\\]|\/\/|\.\./.test(path)) throw refused(400, 'bad-path', 'the path is not canonical')
  const slash = path.indexOf('/', 1)
  if (slash < 0) throw refused(404, 'not-found', 'no such resource')
  const route = parseRoute(path.slice(1, slash))
  if (!route) throw refused(400, 'bad-route', 'the first path element is not a route')
  const dataPath = path.slice(slash)
  const media = parseMediaPath(dataPath)
  if (!media) throw refused(404, 'not-found', 'no such resource')
  return { route, path: dataPath, media }
}
