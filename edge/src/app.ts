import { setMaxListeners } from 'node:events'
import type { ListenAddress } from '@millrace/common/config/units'
import { MillraceError } from '@millrace/common/errors'
import type { StopPhase } from '@millrace/common/lifecycle'
import type { Logger } from '@millrace/common/log'
import { startAdminServer } from '@millrace/common/metrics/admin-server'
import { createRegistry } from '@millrace/common/metrics/registry'
import { VERSION } from '@millrace/common/version'
import { AccessLog } from './access-log.js'
import { adminRoutes } from './admin/status.js'
import { routeGuard, routeKeys } from './auth/route-token.js'
import { DiskStore } from './cache/disk-store.js'
import type { Config } from './config.js'
import { requestHandler } from './handle-request.js'
import { BufferPool } from './http/buffer-pool.js'
import { type HttpServer, listen } from './http/uws.js'
import { LocalKeeper } from './keeper/keeper.js'
import { type CacheOperation, countAttempt, countFill, countRequest, edgeMetrics, observeCache, requestsByPhase } from './metrics.js'
import { Origin } from './origin/fetch.js'
import { OriginHealth } from './origin/health.js'
import { Origins } from './origin/origins.js'

/** Large enough that reads and sends are few, small enough that some hundred transfers fit in RAM. */
const BUFFER_BYTES = 256 * 1024
const MAX_IDLE_BUFFERS = 128

export interface EdgeApp {
  address: ListenAddress
  admin: ListenAddress
  /** In stopping order. */
  phases: StopPhase[]
}

export interface EdgeDependencies {
  log: Logger
  now?: () => number
  random?: () => number
}

/** Builds an edge and listens: the admin side first, so that /readyz can say what a start still waits for. */
export async function startEdge(config: Config, dependencies: EdgeDependencies): Promise<EdgeApp> {
  const { log, now = Date.now, random = Math.random } = dependencies
  const registry = createRegistry({ service: 'edge', id: config.id })
  const metrics = edgeMetrics(
    registry,
    config.origins.map((origin) => origin.id),
  )
  const state: { store?: DiskStore; server?: HttpServer; stopping: boolean } = { stopping: false }

  const admin = await startAdminServer({
    listen: config.admin.listen,
    registry,
    ready: {
      running: () => (state.stopping ? 'stopping' : undefined),
      listener: () => (state.server ? undefined : 'not listening yet'),
      cache: async () => {
        if (!state.store) return 'the cache folder is still being read'
        await state.store.probe()
        return undefined
      },
    },
    handle: adminRoutes({
      token: config.admin.token?.reveal(),
      status: async () => ({
        id: config.id,
        version: VERSION,
        requests: await requestsByPhase(metrics),
        bytesSent: (await metrics.sentBytes.get()).values[0]?.value ?? 0,
        cache: state.store?.stats() ?? { objects: 0, bytes: 0, maxBytes: config.cache.size, evictedBytes: 0 },
      }),
    }),
  })

  const origins = new Origins(
    config.origins.map(
      ({ id, url }) =>
        new Origin({
          id,
          url,
          edgeId: config.id,
          connections: config.fetch.connections,
          connectTimeoutMs: config.fetch.connectTimeout,
          headersTimeoutMs: config.fetch.headersTimeout,
          bodyTimeoutMs: config.fetch.bodyTimeout,
        }),
    ),
    new OriginHealth({ failures: config.health.failures, coolDownMs: config.health.coolDown, now }),
    {
      onAttempt: (attempt) => countAttempt(metrics, attempt),
      onHealth: (origin, up) => {
        metrics.originUp.set({ origin }, up ? 1 : 0)
        log.warn({ origin }, up ? 'origin answers again' : 'origin fails: it is asked last')
      },
    },
  )
  const onFault = (operation: CacheOperation, error: unknown) => {
    metrics.cacheFaults.inc({ operation })
    log.error({ err: error, operation }, 'cache disk')
  }

  try {
    const store = await DiskStore.open({
      path: config.cache.path,
      maxBytes: config.cache.size,
      now,
      onDeleteFailed: (error) => onFault('delete', error),
    })
    state.store = store
    const stopFills = new AbortController()
    // Every running fill listens, so there may be many.
    setMaxListeners(0, stopFills.signal)
    const keeper = new LocalKeeper(
      store,
      {
        fetch: (order, path) => origins.fetch(order, { purpose: 'fill', method: 'GET', path, wanted: [200], signal: stopFills.signal }),
        maxObject: config.cache.maxObject,
        now,
        onFault,
      },
      {
        maxFills: config.fetch.maxFills,
        maxWaiters: config.fetch.maxWaiters,
        negativeTtlMs: config.negativeTtl,
        onFillEnded: (outcome, ms) => countFill(metrics, outcome, ms),
      },
    )
    observeCache(
      registry,
      () => store.stats(),
      () => keeper.runningFills,
    )
    const access = new AccessLog(log, config.log.accessSample, random)
    const server = await listen(
      config.listen,
      requestHandler({
        keeper,
        origins,
        guard: routeGuard({ keys: routeKeys(config.routes.keys), require: config.routes.require, now }),
        pool: new BufferPool(BUFFER_BYTES, MAX_IDLE_BUFFERS),
        corsOrigin: config.cors.origin,
        now,
        onFault,
        onAnswered: (exchange, decision, failure) => {
          countRequest(metrics, { ...decision, bytes: exchange.bytesSent, headMs: exchange.headAfterMs })
          if (exchange.broken) metrics.brokenTransfers.inc()
          else if (exchange.aborted) metrics.clientAborts.inc()
          // An origin that fails is in the metrics; what no code names is a fault of the edge.
          if (failure !== undefined && !(failure instanceof MillraceError)) log.error({ err: failure }, 'request failed')
          access.write(exchange, decision)
        },
      }),
    )
    state.server = server
    return {
      address: server.address,
      admin: admin.address,
      phases: [
        {
          name: 'unready',
          timeoutMs: 1000,
          run: () => {
            state.stopping = true
          },
        },
        { name: 'stop listening', timeoutMs: 1000, run: () => server.stopListening() },
        { name: 'drain', timeoutMs: config.drainTimeout, run: () => server.idle() },
        {
          name: 'fills',
          timeoutMs: 5000,
          run: async () => {
            stopFills.abort()
            await keeper.idle()
          },
        },
        { name: 'origins', timeoutMs: 1000, run: () => origins.close() },
        { name: 'admin', timeoutMs: 1000, run: () => admin.close() },
      ],
    }
  } catch (error) {
    await Promise.all([admin.close(), origins.close()])
    throw error
  }
}
