import type { PurgeRequest } from '@millrace/common/contracts/edge-api'
import { parseMediaPath } from '@millrace/common/contracts/media-url'
import { parseRoute } from '@millrace/common/contracts/route'
import { refused } from '../refusal.js'
import type { PurgeScope } from './record.js'

/**
 * What a purge request covers.
 *
 * @param genericKey the key of a path and query in generic mode; undefined where no generic path begins so
 * @throws MillraceError `unknown-url` (400) for a URL under which nothing can be stored
 */
export function scopeOf(request: PurgeRequest, genericKey: (url: string) => string | undefined): PurgeScope {
  switch (request.scope) {
    case 'all':
      return { scope: 'all' }
    case 'video':
      return { scope: 'video', videoId: request.videoId, block: request.block }
    case 'revision':
      return { scope: 'revision', videoId: request.videoId, rev: request.rev }
    case 'url': {
      const key = genericKey(request.url) ?? mediaKey(request.url)
      if (key === undefined) throw refused(400, 'unknown-url', 'nothing can be stored under this URL')
      return { scope: 'url', key }
    }
  }
}

/** The key of a media URL, with any route or without one: all routes to a path share its entry, and so do all queries. */
export function mediaKey(url: string): string | undefined {
  const path = url.split('?')[0]!
  if (parseMediaPath(path)) return path
  const slash = path.indexOf('/', 1)
  if (slash < 0 || !parseRoute(path.slice(1, slash))) return undefined
  const dataPath = path.slice(slash)
  return parseMediaPath(dataPath) ? dataPath : undefined
}
