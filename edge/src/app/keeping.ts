import { setMaxListeners } from 'node:events'
import { mkdir } from 'node:fs/promises'
import type { StopPhase } from '@millrace/common/lifecycle'
import type { Logger } from '@millrace/common/log'
import type { Registry } from 'prom-client'
import { DiskStore } from '../cache/disk-store.js'
import { fitsHeader } from '../cache/entry-format.js'
import { storableHeaders } from '../cache/headers.js'
import { judge } from '../cache/judge.js'
import { forbidsSharing, refreshed, validatorsOf } from '../cache/revalidate.js'
import { isShared, servesAsIs } from '../cache/serving.js'
import type { CacheStore } from '../cache/store.js'
import { variantText, varyNames } from '../cache/vary.js'
import type { Config } from '../config.js'
import type { KeeperListener } from '../keeper/contract.js'
import type { FillDependencies } from '../keeper/fill.js'
import { LocalKeeper, type LocalKeeperOptions } from '../keeper/local-keeper.js'
import { type DiskFaultMetrics, type KeeperMetrics, keeperMetrics, originMetrics } from '../metrics/edge-metrics.js'
import { type CacheOperation, REVALIDATION_OF } from '../metrics/labels.js'
import type { Origins } from '../origin/origins.js'
import type { PurgeView } from '../purge/contract.js'
import { PurgeLog } from '../purge/log.js'
import type { PurgeRecord } from '../purge/record.js'
import { PurgeTable } from '../purge/table.js'
import { buildOrigins } from './origins.js'

/** What an edge keeps, wherever it serves: disks, fills, purges. */
export interface Keeping {
  store: DiskStore
  keeper: LocalKeeper
  origins: Origins
  purges: PurgeTable
  purgeLog: PurgeLog
  metrics: KeeperMetrics
  onFault: (operation: CacheOperation, error: unknown) => void
  /** In stopping order. */
  phases: StopPhase[]
}

export interface KeepingOptions {
  config: Config
  registry: Registry
  faults: DiskFaultMetrics
  log: Logger
  /** Told of what changes; may come later than the first change, which `out` then tells. */
  listener: KeeperListener
  /** Where others serve: told of purges that came to light when a disk came back. */
  purged?: (record: PurgeRecord) => void
  /** Whether requests are served from this process, so that bodies can be handed over in memory. */
  serves: boolean
  now: () => number
  random: () => number
}

/** A cache that is compared with its folders so soon is so before anything is written; a larger one goes over its budget by little. */
const SCAN_WAIT_MS = 500

/** What bodies may take while no disk takes them. */
export const MEMORY_BYTES = 256 << 20

const POLICY: Pick<FillDependencies, 'policy' | 'variants' | 'fits'> = {
  policy: { judge, forbidsSharing, refreshed, validatorsOf, storableHeaders, servesAsIs, isShared },
  variants: { varyNames, variantText },
  fits: fitsHeader,
}

export async function startKeeping(options: KeepingOptions): Promise<Keeping> {
  const { config, registry, faults, log, listener, serves, now, random } = options
  const told = new WeakSet<object>()
  const onFault = (operation: CacheOperation, error: unknown) => {
    // What the store has reported it also throws, and who meets it reports it again.
    if (error instanceof Error) {
      if (told.has(error)) return
      told.add(error)
    }
    faults.cacheFaults.inc({ operation })
    log.error({ err: error, operation }, 'cache disk')
  }
  const purges = new PurgeTable()
  const opened: { store?: DiskStore; log?: PurgeLog } = {}
  for (const { path } of config.cache.disks)
    await mkdir(path, { recursive: true, mode: 0o700 }).catch((error: unknown) => onFault('open', error))
  const store = await DiskStore.open({
    disks: config.cache.disks,
    now,
    checkpointMs: config.cache.checkpoint,
    scanWaitMs: SCAN_WAIT_MS,
    onGone: (hashes) => listener.gone(hashes),
    onDisk: (path, state, error) => {
      if (state === 'out') log.error({ err: error, disk: path }, 'cache disk is out: it is left alone for a while')
      else log.warn({ disk: path }, 'cache disk is back')
      const { store: running, log: purgeLog } = opened
      if (running) listener.disksOut(running.out())
      if (state === 'in') purgeLog?.catchUp().catch((fault: unknown) => onFault('purge-log', fault))
    },
    onReturn: async (path) => opened.log?.readmit(path),
    onFault: (operation, error) => onFault(operation, error),
  })
  opened.store = store
  const { log: purgeLog, startedOver } = await PurgeLog.open({
    disks: config.cache.disks.map(({ path }) => path),
    table: purges,
    now,
    isOut: (disk) => store.out().includes(disk),
    onFound: (records) => {
      log.warn({ records: records.length }, 'a purge log that could not be read before has purges that were not known')
      for (const record of records) options.purged?.(record)
    },
    onFault: (disk, error) => {
      log.error({ err: error, disk }, 'purge log')
      onFault('purge-log', error)
    },
  })
  opened.log = purgeLog
  if (startedOver === 'damaged') log.warn('the purge log was damaged on every disk: all that was stored counts as purged')
  const stopFills = new AbortController()
  // Every running fill listens, so there may be many.
  setMaxListeners(0, stopFills.signal)
  const origins = buildOrigins(config, {
    metrics: originMetrics(
      registry,
      config.origins.map(({ id }) => id),
    ),
    log,
    now,
    random,
  })
  let runningFills = () => 0
  const metrics = keeperMetrics(registry, {
    disks: () => store.stats(),
    origins: () => origins.states(),
    runningFills: () => runningFills(),
  })
  const keeper = buildKeeper(config, {
    store,
    origins,
    purges,
    now,
    signal: stopFills.signal,
    onFault,
    memoryBytes: serves ? MEMORY_BYTES : 0,
    metrics,
  })
  runningFills = () => keeper.runningFills
  return {
    store,
    keeper,
    origins,
    purges,
    purgeLog,
    metrics,
    onFault,
    phases: [
      {
        name: 'fills',
        timeoutMs: 5000,
        run: async () => {
          stopFills.abort()
          await keeper.idle()
        },
      },
      { name: 'origins', timeoutMs: 1000, run: () => origins.close() },
      { name: 'purge log', timeoutMs: 1000, run: () => purgeLog.close() },
      { name: 'cache', timeoutMs: 10_000, run: () => store.close() },
    ],
  }
}

/** A keeper by this edge's rules: over the disks, or in a worker for what the disks don't take. */
export function buildKeeper(
  config: Config,
  dependencies: {
    store: CacheStore
    origins: Origins
    purges: PurgeView
    now: () => number
    signal: AbortSignal
    onFault: (operation: CacheOperation, error: unknown) => void
    memoryBytes: number
    metrics: Pick<KeeperMetrics, 'fills' | 'fillSeconds' | 'revalidations' | 'prefetches'> | undefined
  },
): LocalKeeper {
  const { metrics, memoryBytes, ...rest } = dependencies
  const { enabled, maxConcurrent, rate } = config.prefetch
  const options: LocalKeeperOptions = {
    maxFills: config.fetch.maxFills,
    maxWaiters: config.fetch.maxWaiters,
    lockTimeoutMs: config.fetch.lockTimeout,
    negativeTtlMs: config.negativeTtl,
    memoryBytes,
    prefetch: { maxConcurrent: enabled ? maxConcurrent : 0, bytesPerSecond: rate },
    onFillEnded: (outcome, ms, _bytes, cause) => {
      metrics?.fills.inc({ outcome })
      if (cause === 'expired') metrics?.revalidations.inc({ outcome: REVALIDATION_OF[outcome] })
      metrics?.fillSeconds.observe(ms / 1000)
    },
    onPrefetch: (outcome) => metrics?.prefetches.inc({ outcome }),
  }
  return new LocalKeeper({ ...rest, ...POLICY, stale: config.stale, maxObject: config.cache.maxObject }, options)
}
