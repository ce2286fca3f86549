import { join } from 'node:path'
import type { Layout } from './layout.js'

const at = (port: number) => `127.0.0.1:${port}`
const http = (port: number) => `http://${at(port)}`

/** The config file of each process, by its name (`cms`, `t1`, `o1`, `e1`): plain data, written as JSON, which is YAML. */
export function renderConfigs(layout: Layout): Map<string, { tier: string; config: Record<string, unknown> }> {
  const { options, secrets } = layout
  const folder = (...names: string[]) => join(options.folder, ...names)
  const redis = { url: `redis://${at(layout.redis)}` }
  const configs = new Map<string, { tier: string; config: Record<string, unknown> }>()

  for (const origin of layout.origins) {
    configs.set(origin.id, {
      tier: 'origin',
      config: {
        id: origin.id,
        listen: at(origin.data),
        control: { listen: at(origin.control), token: secrets.origin },
        admin: { listen: at(origin.admin) },
        root: folder(origin.id, 'data'),
        state: folder(origin.id, 'state'),
        rsync: {
          listen: at(origin.rsync),
          transcoders: layout.transcoders.map((transcoder) => ({ user: transcoder.id, secret: transcoder.secret })),
          sibling: { user: 'sibling', secret: secrets.sibling },
        },
      },
    })
  }
  for (const edge of layout.edges) {
    configs.set(edge.id, {
      tier: 'edge',
      config: {
        id: edge.id,
        listen: at(edge.port),
        admin: { listen: at(edge.admin) },
        cache: { path: folder(edge.id, 'cache'), size: options.edgeCacheSize },
        origins: layout.origins.map((origin) => ({ id: origin.id, url: http(origin.data) })),
        routes: { keys: { k1: secrets.route }, require: true },
      },
    })
  }
  for (const transcoder of layout.transcoders) {
    configs.set(transcoder.id, {
      tier: 'transcoder',
      config: {
        id: transcoder.id,
        redis,
        admin: { listen: at(transcoder.admin) },
        workspace: folder(transcoder.id, 'workspace'),
        cms: { url: http(layout.cms.port), token: secrets.internal },
        publish: { rsync: { user: transcoder.id, secret: transcoder.secret }, controlToken: secrets.origin },
        sources: { allowPrivate: options.allowPrivate },
        queue: { stallInterval: options.stallInterval, backoff: options.retryDelay },
      },
    })
  }
  configs.set('cms', {
    tier: 'cms',
    config: {
      listen: at(layout.cms.port),
      publicUrl: http(layout.cms.port),
      admin: { listen: at(layout.cms.admin) },
      internalToken: secrets.internal,
      redis,
      database: options.databaseUrl ? { url: options.databaseUrl } : { path: folder('cms', 'database') },
      sources: { path: folder('cms', 'sources'), maxBytes: options.maxSourceBytes },
      originToken: secrets.origin,
      origins: layout.origins.map((origin) => ({
        id: origin.id,
        dataUrl: http(origin.data),
        controlUrl: http(origin.control),
        rsyncUrl: `rsync://${at(origin.rsync)}`,
      })),
      edges: layout.edges.map((edge) => ({ id: edge.id, url: http(edge.port), adminUrl: http(edge.admin) })),
      routes: { keys: { k1: secrets.route }, sign: 'k1' },
      preset: { x264Preset: options.x264Preset },
    },
  })
  return configs
}
