import { MillraceError } from '@millrace/common/errors'
import type { Logger } from '@millrace/common/log'
import { createRegistry } from '@millrace/common/metrics/registry'
import { z } from 'zod'
import { supervise } from '../supervise/supervisor.js'
import { type AdminSources, edgeAdmin } from './admin.js'
import { keeperStatusSchema } from './child.js'
import { type ChildConfig, pairOf } from './child-config.js'
import type { ReadConfig } from './config-file.js'
import type { EdgeApp } from './single.js'

/** Above the time that a purge itself may take. */
const PURGE_MS = 6000

const outcomeSchema = z.object({ generation: z.number().int(), workers: z.number().int() })

/** Starts an edge of several workers and one keeper, each a process, under this one. */
export async function startCluster(read: ReadConfig, dependencies: { log: Logger; entry: string }): Promise<EdgeApp> {
  const { log, entry } = dependencies
  const { config } = read
  const state: { config: ReadConfig['config']; sources?: AdminSources } = { config }
  const supervisor = await supervise({
    title: 'millrace-edge',
    entry,
    workers: config.workers,
    config: await forChildren(read),
    registry: createRegistry({ service: 'edge', id: config.id }),
    admin: {
      listen: config.admin.listen,
      handle: edgeAdmin(
        () => state.config,
        () => state.sources,
        log,
      ),
    },
    drainTimeoutMs: config.drainTimeout,
    log,
    onGiveUp: (error) => {
      log.fatal({ err: error }, 'a process of the edge cannot be started any more')
      process.exit(1)
    },
  })
  const keeperStatus = async () => {
    const status = (await supervisor.statuses()).get('keeper')
    if (status !== undefined) return keeperStatusSchema.parse(status)
    throw new MillraceError('the keeper does not answer', { code: 'not-ready', source: 'internal', retryable: true, status: 503 })
  }
  state.sources = {
    metrics: async () => (await supervisor.metrics()).getMetricsAsJSON(),
    disks: async () => (await keeperStatus()).disks,
    origins: async () => (await keeperStatus()).origins,
    purge: async (scope) => outcomeSchema.parse(await supervisor.askKeeper('purge', scope, PURGE_MS)),
  }
  return {
    address: supervisor.address,
    admin: supervisor.adminAddress,
    reload: async (next) => {
      await supervisor.reload(await forChildren(next))
      state.config = next.config
    },
    reopenLogs: () => supervisor.reopenLogs(),
    phases: supervisor.phases,
  }
}

async function forChildren({ raw, config }: ReadConfig): Promise<ChildConfig> {
  const pair = await pairOf(config, Date.now())
  return { raw, ...(pair && { pem: pair.pem }) }
}
