import { randomBytes } from 'node:crypto'
import type { ListenAddress } from '@millrace/common/config/units'
import { MillraceError } from '@millrace/common/errors'
import type { StopPhase } from '@millrace/common/lifecycle'
import type { Logger } from '@millrace/common/log'
import type { Registry } from 'prom-client'
import { AccessLog } from '../access-log.js'
import { CachedGuard, routeKeys } from '../auth/route-token.js'
import type { EntryPlaces } from '../cache/store.js'
import type { Config } from '../config.js'
import { OpenFiles } from '../entries/open-files.js'
import { RamLoader } from '../entries/ram-loader.js'
import { RamTier } from '../entries/ram-tier.js'
import { BufferPool } from '../http/buffer-pool.js'
import type { Exchange } from '../http/exchange.js'
import { createHttpServer, type HttpServer } from '../http/uws.js'
import { BackgroundRevalidation } from '../keeper/background.js'
import type { Keeper, KeeperListener } from '../keeper/contract.js'
import { FillFiles } from '../keeper/fill-files.js'
import { EdgeLimits } from '../limits/limits.js'
import { systemTicker } from '../limits/timer-wheel.js'
import { sendingOf } from '../limits/transfers.js'
import { LineWriter } from '../line-writer.js'
import { type DiskFaultMetrics, type ServingMetrics, servingMetrics } from '../metrics/edge-metrics.js'
import type { CacheOperation } from '../metrics/labels.js'
import { RequestCounters } from '../metrics/request-counters.js'
import type { Origins } from '../origin/origins.js'
import type { Trace } from '../origin/trace.js'
import type { PurgeView } from '../purge/contract.js'
import { requestIds, traceparentOf } from '../request-id.js'
import { AnswerHeads } from '../serve/answer-head.js'
import { Handler } from '../serve/handler.js'
import { Hits } from '../serve/hits.js'
import { Media } from '../serve/media.js'
import { Resolver } from '../serve/resolve.js'
import { Clients } from './admission.js'
import type { InForce } from './child-config.js'
import { genericHandler } from './generic.js'
import { Listeners } from './listeners.js'
import { playerObserver } from './players.js'

export interface ServingOptions extends InForce {
  registry: Registry
  log: Logger
  keeper: Keeper
  /** For bodies that the keeper can't take; where the keeper is another process. */
  fallback: Keeper | undefined
  origins: Origins
  purges: PurgeView
  /** Purges of exact keys that an unsafe request makes necessary (RFC 9111 §4.4); resolves when every worker has them. */
  invalidate: (keys: readonly string[]) => Promise<void>
  places: EntryPlaces
  faults: DiskFaultMetrics
  onFault: (operation: CacheOperation, error: unknown) => void
  /** Which of how many. */
  worker: { index: number; count: number }
  /** Where another worker listens already: with port 0 in the config all must have the port that was found. */
  address?: ListenAddress | undefined
  now: () => number
  random: () => number
}

export interface Serving {
  /** The first public address. */
  address: ListenAddress
  listener: KeeperListener
  /** Prepares for a new config; what it returns puts it into force, or throws and leaves all as it was. */
  prepareReload: (next: InForce) => Promise<() => Promise<void>>
  reopenLogs: () => Promise<void>
  readonly listening: boolean
  /** In stopping order. */
  phases: StopPhase[]
}

/** In transfers' hands up to which each may keep its own while it waits for its client. */
const COMFORTABLE_BUFFERS = 128 << 20

/** Answers clients: all of a worker but its keeper. */
export async function startServing(options: ServingOptions): Promise<Serving> {
  const { config, registry, log, keeper, origins, purges, places, faults, onFault, worker, now, random } = options
  const pool = new BufferPool(COMFORTABLE_BUFFERS)
  const heads = new AnswerHeads(config.id, config.cors.origin, config.compress)
  const ram = new RamTier({
    maxBytes: Math.floor(config.ram.size / worker.count),
    maxObject: config.ram.maxObject,
    worker: worker.index,
    workers: worker.count,
  })
  const files = new OpenFiles({
    places,
    maxOpen: config.openFiles,
    verifyMs: config.cache.verify,
    now,
    prepare: (meta) => heads.prepare(meta),
    onDamaged: (hash, id, error) => {
      faults.checksumFailures.inc()
      onFault('read', error)
      ram.forget(hash)
      files.forget(hash)
      keeper.damaged(hash, id)
    },
    onVerified: (blocks) => faults.verifiedBlocks.inc(blocks),
  })
  const limits = new EdgeLimits(config.limits, systemTicker)
  const clients = new Clients(config.clients, limits)
  const idOf = requestIds(randomBytes(4).toString('hex'))
  const access = await accessLog(config, { log, clients, idOf, random, now })
  const counters = new RequestCounters()
  const server: { http?: HttpServer } = {}
  const metrics = servingMetrics(registry, counters, {
    runningRequests: () => server.http?.running ?? 0,
    openFiles: () => files.open,
    ram: () => ({ bytes: ram.bytes, maxBytes: ram.maxBytes, objects: ram.objects }),
    logDropped: () => access.stats.dropped,
  })
  const boundary = () => randomBytes(16).toString('hex')
  const onError = (error: unknown) => log.error({ err: error }, 'edge')
  const loader = new RamLoader({ ram, files, purges, onError })
  const hits = new Hits({
    ram,
    loader,
    files,
    purges,
    heads,
    used: (hash) => keeper.used(hash),
    compress: config.compress,
    boundary,
    onError,
  })
  const guard = new CachedGuard(guardOptions(config))
  const resolver = new Resolver(guard, config.routes.skew)
  const background = new BackgroundRevalidation(keeper)
  const media = new Media({
    keeper,
    background,
    fallback: options.fallback,
    origins,
    files,
    fillFiles: new FillFiles(),
    hits,
    heads,
    purges,
    boundary,
    now,
    onFault,
  })
  const trace = (exchange: Exchange): Trace => {
    const traceparent = traceparentOf(exchange.headers.traceparent)
    const requestId = idOf(exchange.headers.requestId)
    exchange.requestId = requestId
    return traceparent === undefined ? { requestId } : { requestId, traceparent }
  }
  const sending = (exchange: Exchange) => sendingOf(exchange, pool, limits)
  const generic = genericHandler(config, {
    keeper,
    background,
    ram,
    loader,
    files,
    fillFiles: new FillFiles(),
    purges,
    origins,
    invalidate: options.invalidate,
    sending,
    trace,
    fail: (exchange, error) => handler.fail(exchange, error),
    onFault,
    now,
  })
  const handler: Handler = new Handler({
    resolver,
    hits,
    media,
    heads,
    generic,
    admit: (exchange) => {
      access.arrived(exchange)
      return clients.admit(exchange, server.http!.running)
    },
    sending,
    paced: () => limits.paced,
    onRefused: (exchange) => {
      exchange.client ??= clients.address(exchange)
    },
    trace,
    onMedia: playerObserver(config, { registry, random, now, keeper, origins, guard, purges }),
    now,
  })
  const http = createHttpServer({
    handle: (exchange) => handler.handle(exchange),
    onOver: (exchange) => {
      const { decision } = exchange
      counters.count(decision, exchange.bytesSent, exchange.headAfterMs < 0 ? undefined : exchange.headAfterMs)
      if (decision.phase !== 'hit') countRare(exchange, metrics, counters)
      else if (exchange.aborted) countEnd(exchange, metrics)
      if (exchange.failure !== undefined && !(exchange.failure instanceof MillraceError))
        log.error({ err: exchange.failure }, 'request failed')
      access.over(exchange)
    },
  })
  server.http = http
  const listeners = new Listeners(http, { registry, log })
  const address = await listeners.open(config, options.pair, options.address)
  let listening = true
  return {
    address,
    listener: {
      gone: (hashes) => {
        for (const hash of hashes) {
          ram.forget(hash)
          files.forget(hash)
        }
      },
      disksOut: (paths) => {
        places.setOut(paths)
        files.clear()
      },
      reset: () => {
        ram.clear()
        files.clear()
      },
    },
    prepareReload: async ({ config: next, pair }) => {
      const renew = listeners.prepare(pair)
      return async () => {
        // What can fail comes first.
        await renew()
        guard.configure(guardOptions(next))
        resolver.configure(next.routes.skew)
        limits.configure(next.limits)
        origins.setOrigins(next.origins)
      }
    },
    reopenLogs: () => access.reopen(),
    get listening() {
      return listening
    },
    phases: [
      {
        name: 'stop listening',
        timeoutMs: 1000,
        run: () => {
          listening = false
          http.stopListening()
        },
      },
      { name: 'drain', timeoutMs: config.drainTimeout + 1000, run: () => drain(http, config.drainTimeout, log) },
      { name: 'access log', timeoutMs: 2000, run: () => access.close() },
    ],
  }
}

/** Lets transfers go on for so long. Those that take longer end with the process: that is the setting's meaning and no failure. */
async function drain(http: HttpServer, timeoutMs: number, log: Logger): Promise<void> {
  let limit: NodeJS.Timeout | undefined
  const over = new Promise<void>((resolve) => {
    limit = setTimeout(resolve, timeoutMs)
  })
  await Promise.race([http.idle(), over])
  clearTimeout(limit)
  if (http.running > 0) log.warn({ running: http.running }, 'drainTimeout is over: transfers are cut')
}

function guardOptions(config: Config) {
  return { keys: routeKeys(config.routes.keys), require: config.routes.require, skewSeconds: config.routes.skew / 1000 }
}

function countEnd(exchange: Exchange, metrics: ServingMetrics): void {
  if (exchange.broken) metrics.brokenTransfers.inc()
  else if (exchange.aborted) metrics.clientAborts.inc()
}

/** What is counted of requests that are no hits. */
function countRare(exchange: Exchange, metrics: ServingMetrics, counters: RequestCounters): void {
  const { phase, cause } = exchange.decision
  countEnd(exchange, metrics)
  if (phase === 'coalesced') metrics.coalescedWaiters.inc()
  if (phase === 'miss' && cause !== undefined) metrics.misses.inc({ cause })
  if (exchange.refusal !== undefined && phase === 'refused') counters.refused(exchange.refusal)
}

async function accessLog(
  config: Config,
  tools: { log: Logger; clients: Clients; idOf: (given: string | undefined) => string; random: () => number; now: () => number },
) {
  const { log, clients, idOf, random, now } = tools
  const { path, sample, always } = config.log.access
  const writer = await LineWriter.open({
    target: path === undefined ? { fd: 1 } : { path },
    onError: (error) => log.error({ err: error }, 'access log'),
  })
  const access = new AccessLog(writer, { sample, always, random, now })
  return {
    /** The address is there only while the request runs, and costs too much to ask it of each. */
    arrived: (exchange: Exchange) => {
      if (!access.sampled()) return
      exchange.logged = true
      exchange.client = clients.address(exchange)
    },
    over: (exchange: Exchange) => {
      const { decision, client } = exchange
      if (!exchange.logged && !access.always(decision.phase)) return
      const ms = performance.now() - exchange.arrivedAt
      const requestId = exchange.requestId ?? idOf(exchange.headers.requestId)
      access.write(exchange, decision, { requestId, client: client ?? '', ms })
    },
    reopen: () => writer.reopen(),
    close: () => writer.close(),
    stats: writer.stats,
  }
}
