import { createLogger } from '@millrace/common/log'
import { createRegistry } from '@millrace/common/metrics/registry'
import { z } from 'zod'
import { Disks } from '../cache/disks.js'
import { NO_STORE } from '../cache/no-store.js'
import type { KeeperListener } from '../keeper/contract.js'
import { RemoteKeeper } from '../keeper/ipc/client.js'
import { KeeperServer } from '../keeper/ipc/server.js'
import { diskFaultMetrics, originMetrics } from '../metrics/edge-metrics.js'
import type { CacheOperation } from '../metrics/labels.js'
import { carryOut } from '../purge/carry-out.js'
import { invalidate } from '../purge/invalidate.js'
import { formatRecord, parseRecord, purgeScopeSchema } from '../purge/record.js'
import { PurgeTable } from '../purge/table.js'
import type { Parent, RunningChild } from '../supervise/child.js'
import type { StartMessage } from '../supervise/start-message.js'
import { type InForce, readChildConfig } from './child-config.js'
import { buildKeeper, MEMORY_BYTES, startKeeping } from './keeping.js'
import { buildOrigins, passingBy } from './origins.js'
import { type Serving, startServing } from './serving.js'

/** Builds what this process of an edge is: its keeper, or one of its workers. */
export function startChild(start: StartMessage, parent: Parent): Promise<RunningChild> {
  const inForce = readChildConfig(start.config, Date.now())
  return start.role === 'keeper' ? startKeeper(inForce, start, parent) : startWorker(inForce, start)
}

async function startKeeper({ config }: InForce, start: StartMessage, parent: Parent): Promise<RunningChild> {
  const log = createLogger({ service: 'edge', id: config.id, level: config.log.level }).child({ process: start.name })
  const registry = createRegistry({ service: 'edge', id: config.id })
  const told: { server?: KeeperServer } = {}
  const listener: KeeperListener = {
    gone: (hashes) => told.server?.gone(hashes),
    disksOut: (paths) => told.server?.disksOut(paths),
    reset: () => told.server?.reset(),
  }
  const keeping = await startKeeping({
    config,
    registry,
    faults: diskFaultMetrics(registry),
    log,
    listener,
    purged: (record) =>
      void told.server?.broadcastPurge(formatRecord(record)).catch((error: unknown) => log.error({ err: error }, 'purge')),
    serves: false,
    now: Date.now,
    random: Math.random,
  })
  const { keeper, store, purges, purgeLog, origins, metrics, phases } = keeping
  const tell = (record: Parameters<typeof formatRecord>[0]) => told.server!.broadcastPurge(formatRecord(record))
  const server = await KeeperServer.listen({
    keeper,
    invalidate: (keys) => invalidate(keys, { log: purgeLog, tell, mayServe: (key) => keeper.mayServe(key) }),
    path: start.socketPath,
    purges: () => purges.snapshot(),
    onLate: (workers) => parent.late(workers),
    onFault: (error) => log.error({ err: error }, 'keeper'),
  })
  told.server = server
  server.setWorkers(start.workers)
  server.disksOut(store.out())
  return {
    metrics: () => registry.getMetricsAsJSON(),
    status: () => ({ disks: store.stats(), origins: origins.states() }),
    setWorkers: (ids) => server.setWorkers(ids),
    methods: {
      purge: async (payload) => {
        const scope = purgeScopeSchema.parse(payload)
        metrics.purges.inc({ scope: scope.scope })
        return carryOut(scope, { log: purgeLog, tell })
      },
    },
    prepareReload: async (raw) => {
      const { config: next } = readChildConfig(raw, Date.now())
      return () => origins.setOrigins(next.origins)
    },
    phases: [{ name: 'socket', timeoutMs: 1000, run: () => server.close() }, ...phases],
  }
}

async function startWorker({ config, pair }: InForce, start: StartMessage): Promise<RunningChild> {
  const log = createLogger({ service: 'edge', id: config.id, level: config.log.level }).child({ process: start.name })
  const registry = createRegistry({ service: 'edge', id: config.id })
  const purges = new PurgeTable()
  const state: { serving?: Serving } = {}
  const places = new Disks(config.cache.disks)
  const remote = new RemoteKeeper({
    path: start.socketPath,
    worker: start.id,
    listener: {
      gone: (hashes) => state.serving?.listener.gone(hashes),
      disksOut: (paths) => {
        places.setOut(paths)
        state.serving?.listener.disksOut(paths)
      },
      reset: () => state.serving?.listener.reset(),
    },
    purges: {
      restore: (lines) => purges.restore(lines),
      apply: (line) => {
        const record = parseRecord(line)
        // A line that is none: what it covers isn't known.
        if (record) purges.apply(record)
        else purges.restore([line])
      },
    },
    onFault: (error) => log.error({ err: error }, 'keeper'),
  })
  await remote.connected()
  const faults = diskFaultMetrics(registry)
  const onFault = (operation: CacheOperation, error: unknown) => {
    faults.cacheFaults.inc({ operation })
    log.error({ err: error, operation }, 'cache disk')
  }
  const stopFills = new AbortController()
  const origins = buildOrigins(passingBy(config), {
    metrics: originMetrics(
      registry,
      config.origins.map(({ id }) => id),
    ),
    log,
    now: Date.now,
    random: Math.random,
  })
  const fallback = buildKeeper(config, {
    store: NO_STORE,
    origins,
    purges,
    now: Date.now,
    signal: stopFills.signal,
    onFault,
    memoryBytes: Math.floor(MEMORY_BYTES / config.workers),
    metrics: undefined,
  })
  const serving = await startServing({
    config,
    pair,
    registry,
    log,
    keeper: remote,
    fallback,
    origins,
    purges,
    invalidate: (keys) => remote.invalidate(keys),
    places,
    faults,
    onFault,
    worker: { index: start.number - 1, count: config.workers },
    address: start.address,
    now: Date.now,
    random: Math.random,
  })
  state.serving = serving
  return {
    address: serving.address,
    metrics: () => registry.getMetricsAsJSON(),
    prepareReload: async (raw) => serving.prepareReload(readChildConfig(raw, Date.now())),
    reopenLogs: () => serving.reopenLogs(),
    phases: [
      ...serving.phases,
      {
        name: 'fills',
        timeoutMs: 5000,
        run: async () => {
          stopFills.abort()
          await fallback.idle()
        },
      },
      { name: 'keeper', timeoutMs: 1000, run: () => remote.close() },
      { name: 'origins', timeoutMs: 1000, run: () => origins.close() },
    ],
  }
}

/** What the keeper's process tells of itself. */
export const keeperStatusSchema = z.object({
  disks: z.array(
    z.object({
      path: z.string(),
      state: z.enum(['in', 'out']),
      objects: z.number(),
      bytes: z.number(),
      maxBytes: z.number(),
      evictedBytes: z.number(),
    }),
  ),
  origins: z.array(z.object({ id: z.string(), url: z.string(), up: z.boolean() })),
})
