import { formatMediaPath } from '@millrace/common/contracts/media-url'
import type { Registry } from 'prom-client'
import { cacheKey } from '../cache/key.js'
import { CmcdCounters, cmcdMetrics } from '../cmcd/metrics.js'
import { PrefetchPlan } from '../cmcd/prefetch-plan.js'
import { CmcdReader } from '../cmcd/reader.js'
import type { Config } from '../config.js'
import type { Exchange } from '../http/exchange.js'
import type { Keeper } from '../keeper/contract.js'
import type { OriginGroup } from '../origin/contract.js'
import type { Resolved } from '../serve/resolve.js'

/** Reads what players tell (CMCD) and fetches ahead what they will ask for. Undefined when neither is wanted. */
export function playerObserver(
  config: Pick<Config, 'cmcd' | 'prefetch'>,
  dependencies: { registry: Registry; random: () => number; keeper: Keeper; origins: Pick<OriginGroup, 'order'> },
): ((exchange: Exchange, resolved: Resolved) => void) | undefined {
  const { registry, random, keeper, origins } = dependencies
  const now = () => performance.now()
  const reader = config.cmcd.enabled
    ? new CmcdReader({ sample: config.cmcd.sample, random, now, counters: new CmcdCounters(cmcdMetrics(registry)) })
    : undefined
  const plan = config.prefetch.enabled ? new PrefetchPlan({ next: config.prefetch.next, now }) : undefined
  if (!reader && !plan) return undefined
  return (exchange, { media, path, route }) => {
    const { query, headers } = exchange
    const { cmcdRequest, cmcdObject, cmcdSession, cmcdStatus } = headers
    const fields = cmcdRequest ?? cmcdObject ?? cmcdSession ?? cmcdStatus
    const told = reader && (query !== '' || fields !== undefined)
    const cmcd = told
      ? reader.read(query, fields === undefined ? undefined : [cmcdRequest, cmcdObject, cmcdSession, cmcdStatus])
      : undefined
    if (!plan) return
    const next = plan.propose({ url: exchange.path, media }, cmcd)
    if (next === undefined || next === path || next === formatMediaPath(media)) return
    const order = origins.order(route.origins)
    if (order.length > 0) keeper.prefetch({ key: cacheKey(next), order, upstream: { mode: 'media', path: next } })
  }
}
