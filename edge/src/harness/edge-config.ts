import { parseConfig } from '@millrace/common/config/load'
import { configSchema } from '../config.js'

/** What benches and soak ask of an edge; whatever is not here has its shipped default. */
export interface EdgeSettings {
  port: number
  adminPort: number
  cachePath: string
  /** With a unit, as in a config file. */
  cacheSize: string
  maxObject?: string
  /** The edge's own default when absent. */
  ram?: { size: string }
  workers?: number
  tls?: { port: number; cert: string; key: string }
  origins: readonly { id: string; url: string }[]
  /** Key id to secret; signed routes are demanded. */
  keys: Record<string, string>
  drainTimeout?: string
}

/** Whatever is stored is read from disk. */
export const RAM_OFF = { size: '0B' }

/** The edge's config file. The one place that knows its shape. */
export function edgeConfig(settings: EdgeSettings): Record<string, unknown> {
  const limit = settings.maxObject === undefined ? {} : { maxObject: settings.maxObject }
  const { tls } = settings
  const config: Record<string, unknown> = {
    id: 'bench',
    listen: `127.0.0.1:${settings.port}`,
    admin: { listen: `127.0.0.1:${settings.adminPort}` },
    cache: { path: settings.cachePath, size: settings.cacheSize, ...limit },
    origins: settings.origins,
    routes: { keys: settings.keys, require: true },
    ...(settings.drainTimeout === undefined ? {} : { drainTimeout: settings.drainTimeout }),
    ...(settings.ram ? { ram: settings.ram } : {}),
    ...(settings.workers !== undefined ? { workers: settings.workers } : {}),
    ...(tls ? { tls: { listen: `127.0.0.1:${tls.port}`, cert: tls.cert, key: tls.key } } : {}),
  }
  // A mistake shows here, by key, and not as a process that ended.
  parseConfig(configSchema, config, "the harness's edge config")
  return config
}
