import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import type { ListenAddress } from '@millrace/common/config/units'
import { type StopPhase, stopInPhases } from '@millrace/common/lifecycle'
import type { Logger } from '@millrace/common/log'
import { startAdminServer } from '@millrace/common/metrics/admin-server'
import { Inventory } from './assets/inventory.js'
import { Janitor } from './assets/janitor.js'
import { createLayout, type Layout, refKey } from './assets/layout.js'
import { Operations } from './assets/operations.js'
import { AssetReader } from './assets/reader.js'
import { recover } from './assets/recover.js'
import { AssetStore } from './assets/store.js'
import type { Config } from './config.js'
import { createMetrics } from './metrics.js'
import type { Packager } from './packager/packager.js'
import { buildControlServer } from './routes/control-server.js'
import { Rsyncd } from './rsyncd/daemon.js'
import { startDataListener } from './serve/listener.js'

export interface AppDeps {
  log: Logger
  packager: Packager
  now?: () => Date
}

export interface App {
  addresses: { data: ListenAddress; control: ListenAddress; admin: ListenAddress; rsync: ListenAddress }
  /** In stopping order. */
  phases: StopPhase[]
}

const DRAIN_MS = 5000

/** The whole origin: recovers what is on disk, starts the rsync daemon, then listens. */
export async function startApp(config: Config, deps: AppDeps): Promise<App> {
  const { log, packager, now = () => new Date() } = deps
  const layout = createLayout(config.root, config.state)
  const inventory = new Inventory()
  const reader = new AssetReader(layout)
  const { damaged, ...recovery } = await recover({ layout, packager, inventory, now })
  for (const { ref, error } of damaged) log.error({ err: error, asset: refKey(ref) }, 'asset on disk cannot be served')
  log.info({ ...recovery, damaged: damaged.length }, 'recovered')

  const operations = new Operations({
    concurrency: config.operations.concurrency,
    onEnd: (operation, error) => {
      metrics.operationEnded(operation.kind, error === undefined ? 'done' : 'failed')
      log[error === undefined ? 'info' : 'warn']({ operation, ...(error !== undefined && { err: error }) }, 'operation ended')
    },
  })
  const { sibling } = config.rsync
  const store = new AssetStore({
    layout,
    packager,
    inventory,
    operations,
    reader,
    now,
    minFreeBytes: config.minFreeBytes,
    sibling: { user: sibling.user, password: sibling.secret.reveal(), timeoutMs: config.rsync.timeout },
    onTrash: () => janitor.kick(),
  })
  const metrics = createMetrics(config.id, { assets: () => inventory.size, running: () => operations.running, disk: () => store.disk() })
  metrics.damagedAtStart(damaged.length)
  const chores: (() => Promise<void>)[] = []
  const janitor = new Janitor({
    layout,
    chores,
    operations,
    maxAgeMs: config.staging.maxAge,
    intervalMs: config.staging.sweepInterval,
    now,
    onRemoved: (ref) => {
      metrics.stagingRemoved()
      log.info({ asset: refKey(ref) }, 'stale staging removed')
    },
    onError: (error) => {
      metrics.janitorFailed()
      log.error({ err: error }, 'janitor failed')
    },
  })

  const stop: StopPhase[] = []
  const onStop = (name: string, timeoutMs: number, run: StopPhase['run']) => void stop.unshift({ name, timeoutMs, run })
  try {
    onStop('janitor', 5000, () => janitor.stop())
    onStop('operations', 5000, () => operations.stop())
    const rsyncd = await Rsyncd.start({
      ...rsyncdOptions(config, layout),
      folder: layout.rsyncd,
      listen: config.rsync.listen,
      log,
      onRestart: () => metrics.rsyncdDied(),
    })
    onStop('rsync daemon', 5000, () => rsyncd.stop())
    chores.push(() => rsyncd.trimLog())
    const admin = await startAdminServer({
      listen: config.admin.listen,
      registry: metrics.registry,
      ready: { rsyncd: () => rsyncd.problem(), root: () => writable(layout.root) },
    })
    onStop('admin', 1000, () => admin.close())
    const served = { layout, reader, packager, allowMp4: config.files.allowMp4 }
    const data = await startDataListener(config.listen, served, (answered, bytes, seconds) => {
      metrics.answered(answered, bytes, seconds)
      if (answered.error) log.error({ err: answered.error, outcome: answered.outcome }, 'data request failed')
    })
    onStop('data', DRAIN_MS + 1000, () => data.stop(DRAIN_MS))
    const control = buildControlServer({ id: config.id, store, operations, inventory, packager, token: config.control.token.reveal(), log })
    onStop('control', 2000, () => control.close())
    await control.listen(config.control.listen)
    const bound = control.server.address()
    const controlPort = typeof bound === 'object' && bound ? bound.port : config.control.listen.port
    janitor.start()
    return {
      addresses: {
        data: data.address,
        control: { host: config.control.listen.host, port: controlPort },
        admin: admin.address,
        rsync: rsyncd.address,
      },
      phases: stop,
    }
  } catch (error) {
    await stopInPhases(stop, log)
    throw error
  }
}

function rsyncdOptions({ rsync }: Config, layout: Layout) {
  const uid = process.getuid?.()
  return {
    settings: {
      stagingRoot: layout.stagingRoot,
      assetsRoot: layout.assetsRoot,
      transcoders: rsync.transcoders.map((account) => account.user),
      siblings: [rsync.sibling.user],
      hostsAllow: rsync.hostsAllow,
      maxConnections: rsync.maxConnections,
      timeoutSeconds: Math.ceil(rsync.timeout / 1000),
      ...(uid === 0 && { root: { uid, gid: process.getgid!() } }),
    },
    accounts: [rsync.sibling, ...rsync.transcoders].map(({ user, secret }) => ({ user, password: secret.reveal() })),
  }
}

async function writable(path: string): Promise<string | undefined> {
  try {
    await access(path, constants.W_OK)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}
