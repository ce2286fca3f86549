import type { IncomingMessage, ServerResponse } from 'node:http'
import type { EdgeOrigins } from '@millrace/common/contracts/edge-api'
import { MillraceError } from '@millrace/common/errors'
import type { Logger } from '@millrace/common/log'
import { VERSION } from '@millrace/common/version'
import { adminRoutes } from '../admin/routes.js'
import type { DiskStats } from '../cache/store.js'
import type { Config } from '../config.js'
import { genericKey } from '../generic/keys.js'
import { matchPath } from '../generic/match.js'
import { requestTotals } from '../metrics/edge-metrics.js'
import type { PurgeScope } from '../purge/record.js'
import { scopeOf } from '../purge/scope.js'

/** Where the admin API's answers come from, however many processes there are. */
export interface AdminSources {
  /** Of all processes together, as `getMetricsAsJSON` gives them. */
  metrics: () => Promise<Parameters<typeof requestTotals>[0]>
  disks: () => Promise<DiskStats[]>
  origins: () => Promise<EdgeOrigins['origins']>
  /** Resolves when every worker has the purge. */
  purge: (scope: PurgeScope) => Promise<{ generation: number; workers: number }>
}

/** The admin routes of this edge. @param sources undefined until it has started */
export function edgeAdmin(
  config: () => Config,
  sources: () => AdminSources | undefined,
  log: Logger,
): (request: IncomingMessage, response: ServerResponse) => Promise<boolean> {
  const started = (): AdminSources => {
    const found = sources()
    if (found) return found
    throw new MillraceError('this edge is still starting', { code: 'not-ready', source: 'internal', retryable: true, status: 503 })
  }
  return adminRoutes({
    token: config().admin.token?.reveal(),
    status: async () => {
      const { metrics, disks } = started()
      const totals = requestTotals(await metrics())
      const cache = { objects: 0, bytes: 0, maxBytes: 0, evictedBytes: 0 }
      for (const disk of await disks()) {
        cache.objects += disk.objects
        cache.bytes += disk.bytes
        cache.maxBytes += disk.maxBytes
        cache.evictedBytes += disk.evictedBytes
      }
      return { id: config().id, version: VERSION, ...totals, cache }
    },
    config,
    origins: () => started().origins(),
    purge: (request) => started().purge(scopeOf(request, (url) => keyOf(config(), url))),
    onError: (error) => log.error({ err: error }, 'admin'),
  })
}

/** The key of a URL that a generic path covers. */
function keyOf({ paths }: Config, url: string): string | undefined {
  const path = matchPath(paths, url.split('?')[0]!)
  return path && genericKey(path.origin, url)?.text
}
