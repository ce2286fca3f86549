import type { ListenAddress } from '@millrace/common/config/units'
import type { StopPhase } from '@millrace/common/lifecycle'
import type { Logger } from '@millrace/common/log'
import { startAdminServer } from '@millrace/common/metrics/admin-server'
import { createRegistry } from '@millrace/common/metrics/registry'
import type { Config } from '../config.js'
import type { KeeperListener } from '../keeper/contract.js'
import { diskFaultMetrics } from '../metrics/edge-metrics.js'
import { carryOut } from '../purge/carry-out.js'
import { invalidate } from '../purge/invalidate.js'
import { type AdminSources, edgeAdmin } from './admin.js'
import { pairOf } from './child-config.js'
import type { ReadConfig } from './config-file.js'
import { startKeeping } from './keeping.js'
import { type Serving, startServing } from './serving.js'

export interface EdgeApp {
  address: ListenAddress
  admin: ListenAddress
  /**
   * Puts another configuration into force, which differs from the one in force in nothing that needs a restart.
   *
   * @throws MillraceError when it can't be: then the old one stays in force.
   */
  reload: (next: ReadConfig) => Promise<void>
  reopenLogs: () => Promise<void>
  /** In stopping order. */
  phases: StopPhase[]
}

export interface EdgeDependencies {
  log: Logger
  now?: () => number
  random?: () => number
}

/** Builds an edge of one process and listens: the admin side first, so that /readyz can say what a start still waits for. */
export async function startEdge(config: Config, dependencies: EdgeDependencies): Promise<EdgeApp> {
  const { log, now = Date.now, random = Math.random } = dependencies
  const pair = await pairOf(config, now())
  const registry = createRegistry({ service: 'edge', id: config.id })
  const state: { serving?: Serving; sources?: AdminSources; stopping: boolean; config: Config } = { stopping: false, config }
  const admin = await startAdminServer({
    listen: config.admin.listen,
    registry,
    ready: {
      running: () => (state.stopping ? 'stopping' : undefined),
      listener: () => (state.serving ? undefined : 'not listening yet'),
    },
    handle: edgeAdmin(
      () => state.config,
      () => state.sources,
      log,
    ),
  })
  const closing: StopPhase[] = [{ name: 'admin', timeoutMs: 1000, run: () => admin.close() }]
  try {
    const listener: KeeperListener = {
      gone: (hashes) => state.serving?.listener.gone(hashes),
      disksOut: (paths) => state.serving?.listener.disksOut(paths),
      reset: () => state.serving?.listener.reset(),
    }
    const faults = diskFaultMetrics(registry)
    const keeping = await startKeeping({ config, registry, faults, log, listener, serves: true, now, random })
    closing.unshift(...keeping.phases)
    const { keeper, store, purges, purgeLog, origins, onFault, metrics } = keeping
    const tell = async () => 1
    const serving = await startServing({
      config,
      pair,
      registry,
      log,
      keeper,
      fallback: undefined,
      origins,
      purges,
      invalidate: (keys) => invalidate(keys, { log: purgeLog, tell, mayServe: (key) => keeper.mayServe(key) }),
      places: store.places,
      faults,
      onFault,
      worker: { index: 0, count: 1 },
      now,
      random,
    })
    state.serving = serving
    state.sources = {
      metrics: () => registry.getMetricsAsJSON(),
      disks: async () => store.stats(),
      origins: async () => origins.states(),
      purge: async (scope) => {
        metrics.purges.inc({ scope: scope.scope })
        return carryOut(scope, { log: purgeLog, tell })
      },
    }
    return {
      address: serving.address,
      admin: admin.address,
      reload: async ({ config: next }) => {
        const apply = await serving.prepareReload({ config: next, pair: await pairOf(next, now()) })
        await apply()
        state.config = next
      },
      reopenLogs: () => serving.reopenLogs(),
      phases: [
        {
          name: 'unready',
          timeoutMs: 1000,
          run: () => {
            state.stopping = true
          },
        },
        ...serving.phases,
        ...closing,
      ],
    }
  } catch (error) {
    for (const phase of closing) await phase.run()
    throw error
  }
}
