import { formatMediaPath, mediaClass, parseMediaPath } from '@millrace/common/contracts/media-url'
import type { Route } from '@millrace/common/contracts/route'
import type { Registry } from 'prom-client'
import type { CachedGuard } from '../auth/route-token.js'
import { cacheKey } from '../cache/key.js'
import { CmcdCounters, cmcdMetrics } from '../cmcd/metrics.js'
import { PrefetchPlan } from '../cmcd/prefetch-plan.js'
import { CmcdReader } from '../cmcd/reader.js'
import type { Config } from '../config.js'
import type { Exchange } from '../http/exchange.js'
import type { Keeper } from '../keeper/contract.js'
import type { OriginGroup } from '../origin/contract.js'
import type { PurgeView } from '../purge/contract.js'
import type { Resolved } from '../serve/resolve.js'

export interface PlayerDependencies {
  registry: Registry
  random: () => number
  /** Unix milliseconds. */
  now: () => number
  keeper: Pick<Keeper, 'prefetch'>
  origins: Pick<OriginGroup, 'order'>
  guard: Pick<CachedGuard, 'admits'>
  purges: Pick<PurgeView, 'blocks'>
}

/** Reads what players tell (CMCD) and fetches ahead what they will ask for. Undefined when neither is wanted. */
export function playerObserver(
  config: Pick<Config, 'cmcd' | 'prefetch'>,
  dependencies: PlayerDependencies,
): ((exchange: Pick<Exchange, 'path' | 'query' | 'headers'>, resolved: Resolved) => void) | undefined {
  const { registry, random, now, keeper, origins, guard, purges } = dependencies
  const { cmcd: told, prefetch } = config
  const monotonic = () => performance.now()
  const reader = told.enabled
    ? new CmcdReader({
        sample: told.sample,
        next: prefetch.enabled,
        random,
        now: monotonic,
        counters: new CmcdCounters(cmcdMetrics(registry)),
      })
    : undefined
  const plan = prefetch.enabled ? new PrefetchPlan({ next: prefetch.next, now: monotonic }) : undefined
  if (!reader && !plan) return undefined
  /** Whether the client of this URL would get that path: not for want of a signature, nor because its video was deleted. */
  const allowed = (url: string, route: Route, path: string) => {
    const media = parseMediaPath(path)
    if (!media || purges.blocks(media.videoId)) return false
    const text = url.slice(1, url.indexOf('/', 1))
    return guard.admits(text, route, media.videoId, media.rev, mediaClass(media), Math.floor(now() / 1000))
  }
  return (exchange, { media, path, route }) => {
    const { query, headers } = exchange
    const { cmcdRequest, cmcdObject, cmcdSession, cmcdStatus } = headers
    const fields = cmcdRequest ?? cmcdObject ?? cmcdSession ?? cmcdStatus
    const cmcd =
      reader && (query !== '' || fields !== undefined)
        ? reader.read(query, fields === undefined ? undefined : [cmcdRequest, cmcdObject, cmcdSession, cmcdStatus])
        : undefined
    if (!plan) return
    const next = plan.propose({ url: exchange.path, media }, cmcd, (ahead) => allowed(exchange.path, route, ahead))
    if (next === undefined || next === path || next === formatMediaPath(media)) return
    const order = origins.order(route.origins)
    if (order.length > 0) keeper.prefetch({ key: cacheKey(next), order, upstream: { mode: 'media', path: next } })
  }
}
