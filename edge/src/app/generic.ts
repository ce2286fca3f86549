import type { CacheKey } from '../cache/key.js'
import type { Config } from '../config.js'
import type { OpenFiles } from '../entries/open-files.js'
import type { RamLoader } from '../entries/ram-loader.js'
import type { RamTier } from '../entries/ram-tier.js'
import { inMemory } from '../entries/stored-body.js'
import type { GenericDependencies, StoredEntry } from '../generic/contract.js'
import { handleGeneric } from '../generic/handler.js'
import { matchPath } from '../generic/match.js'
import type { Exchange } from '../http/exchange.js'
import type { Sending } from '../http/send.js'
import type { BackgroundRevalidation } from '../keeper/background.js'
import { fillBody } from '../keeper/bodies.js'
import type { Keeper } from '../keeper/contract.js'
import type { FillFiles } from '../keeper/fill-files.js'
import type { OriginGroup } from '../origin/contract.js'
import type { Trace } from '../origin/trace.js'
import type { PurgeView } from '../purge/contract.js'
import { RetriedInvalidations } from '../purge/retried-invalidations.js'

export interface GenericWiring {
  keeper: Keeper
  background: BackgroundRevalidation
  ram: RamTier
  loader: RamLoader
  files: OpenFiles
  fillFiles: FillFiles
  purges: PurgeView
  origins: OriginGroup
  invalidate: (keys: readonly string[]) => Promise<void>
  sending: (exchange: Exchange) => Sending
  trace: (exchange: Exchange) => Trace
  /** Answers, or cuts, a request that failed. */
  fail: (exchange: Exchange, error: unknown) => void
  onFault: (operation: 'open' | 'invalidate', error: unknown) => void
  now: () => number
}

/** Takes requests of generic paths, within the handler's turn. @returns whether it did */
export function genericHandler(config: Config, wiring: GenericWiring): (exchange: Exchange) => boolean {
  const { paths } = config
  if (paths.length === 0) return () => false
  const { keeper, background, ram, loader, files, fillFiles, purges, origins, invalidate, sending, trace, fail, onFault, now } = wiring
  const open = async (key: CacheKey): Promise<StoredEntry | undefined> => {
    const inRam = ram.peek(key.hash)
    if (inRam && !purges.covers(inRam.meta)) {
      ram.count(inRam, Math.floor(now() / 1000))
      return { meta: inRam.meta, body: inMemory(inRam.body), tier: 'ram' }
    }
    if (inRam) ram.forget(key.hash)
    try {
      const entry = await files.find(key)
      if (!entry || purges.covers(entry.meta)) return undefined
      const body = files.body(entry)
      entry.uses++
      loader.served(entry)
      return { meta: entry.meta, body, tier: 'disk' }
    } catch (error) {
      onFault('open', error)
      return undefined
    }
  }
  const dependencies: GenericDependencies = {
    edgeId: config.id,
    keeper,
    background,
    entries: { open },
    fillBody: (fill, head, key) =>
      fillBody(fill, head, {
        files: fillFiles,
        openFinal: async (id) => {
          // What this worker holds of it is from before.
          files.forget(key.hash)
          const entry = await files.find(key)
          return entry?.meta.id === id ? files.body(entry) : undefined
        },
      }),
    origins,
    paths,
    invalidations: new RetriedInvalidations({ invalidate, onFault: (error) => onFault('invalidate', error) }),
    sending,
    now,
  }
  return (exchange) => {
    const path = matchPath(paths, exchange.path)
    if (!path) return false
    const fields = exchange.fields()
    exchange.decision = { phase: 'refused', class: 'generic', tier: 'edge' }
    handleGeneric(exchange, fields, path, dependencies, trace(exchange)).catch((error: unknown) => fail(exchange, error))
    return true
  }
}
