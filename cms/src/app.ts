import type { ListenAddress } from '@millrace/common/config/units'
import { type Running, type StopPhase, stopInPhases } from '@millrace/common/lifecycle'
import type { Logger } from '@millrace/common/log'
import { startAdminServer } from '@millrace/common/metrics/admin-server'
import { sql } from 'kysely'
import { Agent } from 'undici'
import { type CmsConfig, wantedReplicas } from './config.js'
import { countMissingReplicas } from './db/asset-store.js'
import { openDatabase } from './db/open.js'
import { countSweeps } from './db/sweep-store.js'
import { countByState, findVideo } from './db/video-store.js'
import { applyEvent } from './events/apply.js'
import { EventConsumer } from './events/consume.js'
import { EventFeed } from './events/feed.js'
import { bearerGuard, localGuard } from './http/auth.js'
import { liveRoutes } from './http/routes/live.js'
import { playRoutes } from './http/routes/play.js'
import { sourceRoutes } from './http/routes/sources.js'
import { videoRoutes } from './http/routes/videos.js'
import { webRoutes } from './http/routes/web.js'
import { createServer } from './http/server.js'
import { createMetrics } from './metrics.js'
import { nodeList, watchFleet } from './nodes/fleet.js'
import { OriginClient } from './nodes/origin-client.js'
import { Replicator } from './placement/reconcile.js'
import { AssetDescriber } from './playback/describe.js'
import { PlaybackService } from './playback/player.js'
import { openQueue } from './queue/bee-queue.js'
import { readHeartbeats } from './queue/reconcile.js'
import { createReconcilers } from './reconcilers.js'
import { connectRedis, quiet } from './redis.js'
import { Sources } from './upload/sources.js'
import { createReader } from './videos/reader.js'
import { VideoService } from './videos/service.js'

const DRAIN_MS = 3000

export interface CmsApp extends Running {
  /** Base URL of the public listener. */
  url: string
  address: ListenAddress
  adminAddress: ListenAddress
}

/** Builds the whole service, then listens. What was opened before a failure is closed again. */
export async function startCms(config: CmsConfig, log: Logger, onFatal: (error: Error) => void): Promise<CmsApp> {
  const phases: StopPhase[] = []
  /** Stops in reverse order of starting. */
  const stopLater = (name: string, run: StopPhase['run'], timeoutMs = 5000) => phases.unshift({ name, timeoutMs, run })
  try {
    return await build(config, log, onFatal, phases, stopLater)
  } catch (error) {
    await stopInPhases(phases, log)
    throw error
  }
}

async function build(
  config: CmsConfig,
  log: Logger,
  onFatal: (error: Error) => void,
  phases: StopPhase[],
  stopLater: (name: string, run: StopPhase['run'], timeoutMs?: number) => void,
): Promise<CmsApp> {
  const now = () => new Date()
  const { origins } = config
  const originIds = origins.map((origin) => origin.id)
  const wanted = wantedReplicas(config)

  const database = await openDatabase(config.database, log, onFatal)
  stopLater('database', database.close, 10_000)
  const { db } = database
  const sources = new Sources(config.sources)
  await sources.prepare()

  const redis = await connectRedis(config.redis.url, log)
  stopLater('redis', () => redis.disconnect())
  const queue = await openQueue(config.redis.url, log)
  stopLater('queue', queue.close)
  const dispatcher = new Agent({ connections: 16, connectTimeout: 3000 })
  stopLater('origin connections', () => dispatcher.destroy())

  const client = new OriginClient(config.originToken.reveal(), dispatcher)
  const fleet = watchFleet(config, {
    client,
    dispatcher,
    onOriginBack: () => {
      loops.replicas.poke()
      loops.sweeps.poke()
    },
    log,
  })
  const isHealthy = (id: string) => fleet.origins.isHealthy(id)
  const reader = createReader(db, redis, log)
  const feed = new EventFeed({ maxListeners: config.events.maxListeners, load: reader.find, log })
  const onChange = (videoId: string) => feed.changed(videoId)
  const describer = new AssetDescriber({ db, client, origins, isHealthy, log })
  const videos = new VideoService({ db, config, queue, redis, sources, onChange, now, log })
  const replicator = new Replicator({
    db,
    origins,
    wantedReplicas: wanted,
    client,
    isHealthy,
    describe: (videoId, rev) => describer.describe(videoId, rev),
    onChange,
    now,
    log,
  })
  const metrics = createMetrics(config.id, {
    countByState: () => countByState(db),
    countMissingReplicas: () => countMissingReplicas(db, originIds, wanted),
    countSweeps: () => countSweeps(db),
    queueDepth: queue.depth,
    unhealthyNodes: () => ({
      origin: origins.filter((origin) => !fleet.origins.isHealthy(origin.id)).length,
      edge: config.edges.filter((edge) => !fleet.edges.isHealthy(edge.id)).length,
    }),
    listeners: () => feed.listeners,
    pulls: () => replicator.pulls,
  })

  const findSource = async (id: string) => {
    const video = await findVideo(db, id)
    return video?.state === 'deleted' ? undefined : video?.source
  }
  const loops = createReconcilers({
    config,
    db,
    redis,
    queue,
    client,
    isHealthy,
    videos,
    replicator,
    sources,
    findSource,
    metrics,
    now,
    log,
  })

  const consumer = new EventConsumer({
    redis: quiet(redis.duplicate({ maxRetriesPerRequest: null, commandTimeout: undefined }), log),
    consumer: config.id,
    apply: (event) => applyEvent(db, event, { now: now(), origins: originIds, wantedReplicas: wanted }),
    onApplied: (event, outcome) => {
      if (outcome === 'applied') onChange(event.videoId)
      loops.sweeps.poke()
      if (event.type !== 'published') return
      loops.replicas.poke()
      // Its manifests are kept from now on, so that playback needs no origin's control API. What fails here is asked again when needed.
      describer.describe(event.videoId, event.rev).catch((error: Error) => log.warn({ err: error }, 'manifests not read yet'))
    },
    onOutcome: (outcome) => metrics.events.inc({ outcome }),
    log,
  })

  let publicUrl = config.publicUrl ?? ''
  const playback = new PlaybackService({
    db,
    config,
    publicUrl: () => publicUrl,
    describer,
    isEdgeHealthy: (id) => fleet.edges.isHealthy(id),
    isOriginHealthy: isHealthy,
    now,
  })
  const server = await createServer({
    log,
    mediaOrigins: () => [...new Set([...config.edges.map((edge) => edge.url), publicUrl].map((url) => new URL(url).origin))],
    onResponse: ({ method, route, status, seconds }) => metrics.requests.observe({ method, route, status }, seconds),
  })
  stopLater('http', async () => {
    // Answers under way are finished; who takes longer, such as an upload, is cut off.
    const cut = setTimeout(() => server.server.closeAllConnections(), DRAIN_MS)
    await server.close()
    clearTimeout(cut)
  })
  stopLater('event feed', () => feed.stop())
  const { token } = config.api
  await server.register(
    async (api) => {
      api.addHook('onRequest', token ? bearerGuard(token) : localGuard)
      videoRoutes(api, { videos, reader, playback })
      liveRoutes(api, { feed, nodes: async () => nodeList(config, fleet, await readHeartbeats(redis)) })
    },
    { prefix: '/api/v1' },
  )
  await server.register(async (internal) => {
    internal.addHook('onRequest', bearerGuard(config.internalToken))
    sourceRoutes(internal, {
      findSource,
      pathOf: (id) => sources.pathOf(id),
    })
  })
  await server.register(async (play) => playRoutes(play, playback))
  await server.register(webRoutes)

  await Promise.all([fleet.origins.start(), fleet.edges.start()])
  stopLater('probes', async () => {
    await Promise.all([fleet.origins.stop(), fleet.edges.stop()])
  })
  const subscriber = quiet(redis.duplicate({ maxRetriesPerRequest: null }), log)
  feed.start(subscriber)
  stopLater('progress', () => subscriber.disconnect())
  consumer.start()
  stopLater('events', () => consumer.stop())
  for (const loop of Object.values(loops)) loop.poke()
  stopLater('reconcilers', async () => {
    // Nobody waits for an origin that hangs.
    await Promise.all([replicator.stop(), ...Object.values(loops).map((loop) => loop.stop()), dispatcher.destroy()])
  })

  const admin = await startAdminServer({
    listen: config.admin.listen,
    registry: metrics.registry,
    ready: {
      database: async () => void (await sql`select 1`.execute(db)),
      redis: async () => ((await redis.ping()) === 'PONG' ? undefined : 'does not answer'),
      sources: () => sources.problem(),
    },
  })
  stopLater('admin', admin.close)
  const { host } = config.listen
  await server.listen({ host, port: config.listen.port })
  const bound = server.addresses()[0]
  const port = typeof bound === 'object' ? bound.port : config.listen.port
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  publicUrl ||= url
  return { phases, url, address: { host, port }, adminAddress: admin.address }
}
