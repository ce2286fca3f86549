import { mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { renderConfigs } from './configs.js'
import { type Layout, planLayout, type StackOptions } from './layout.js'
import { type Exit, Service } from './service.js'

export interface Stack {
  layout: Layout
  cmsUrl: string
  edges: { id: string; url: string; adminUrl: string }[]
  origins: { id: string; dataUrl: string; adminUrl: string }[]
  /** By name: `redis`, `cms`, `t1`, `o1`, `e1`, … */
  service: (name: string) => Service
  services: Service[]
  stop: () => Promise<void>
}

export const DEFAULT_OPTIONS: Omit<StackOptions, 'folder'> = {
  origins: 2,
  edges: 2,
  transcoders: 1,
  x264Preset: 'veryfast',
  maxSourceBytes: '50GiB',
  edgeCacheSize: '10GiB',
  stallInterval: '5s',
  retryDelay: '5s',
  allowPrivate: ['127.0.0.0/8', '::1/128'],
}

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url))

/**
 * A whole Millrace on loopback, as real processes that die with this one. Redis first, then origins, edges and the transcoder beside
 * the CMS: none needs another to start.
 *
 * @throws Error of the first service that doesn't come up; the others are stopped again.
 */
export async function startStack(
  options: Partial<StackOptions> & { folder: string },
  onUnexpectedExit: (service: Service, exit: Exit) => void,
): Promise<Stack> {
  const layout = await planLayout({ ...DEFAULT_OPTIONS, ...options })
  const folder = layout.options.folder
  for (const name of ['logs', 'configs', 'redis']) await mkdir(join(folder, name), { recursive: true, mode: 0o700 })
  const services = new Map<string, Service>()
  services.set('redis', redisService(layout, onUnexpectedExit))
  for (const [name, { tier, config }] of renderConfigs(layout)) {
    const file = join(folder, 'configs', `${name}.yaml`)
    await writeFile(file, JSON.stringify(config, undefined, 2), { mode: 0o600 })
    services.set(name, tierService(name, tier, file, join(folder, 'logs', `${name}.log`), onUnexpectedExit))
  }
  const stop = () => stopAll(services)
  try {
    await services.get('redis')!.start()
    await Promise.all([...services.values()].filter((service) => service.name !== 'redis').map((service) => service.start()))
  } catch (error) {
    await stop()
    throw error
  }
  return {
    layout,
    cmsUrl: `http://127.0.0.1:${layout.cms.port}`,
    edges: layout.edges.map((edge) => ({ id: edge.id, url: `http://127.0.0.1:${edge.port}`, adminUrl: `http://127.0.0.1:${edge.admin}` })),
    origins: layout.origins.map((origin) => ({
      id: origin.id,
      dataUrl: `http://127.0.0.1:${origin.data}`,
      adminUrl: `http://127.0.0.1:${origin.admin}`,
    })),
    service: (name) => {
      const service = services.get(name)
      if (!service) throw new Error(`no service ${name}`)
      return service
    },
    services: [...services.values()],
    stop,
  }
}

/** Workers first, so that a running job goes back while Redis is there; Redis last. */
async function stopAll(services: Map<string, Service>): Promise<void> {
  const redis = services.get('redis')
  await Promise.all([...services.values()].filter((service) => service !== redis).map((service) => service.stop()))
  await redis?.stop()
}

function tierService(
  name: string,
  tier: string,
  config: string,
  logFile: string,
  onUnexpectedExit: (service: Service, exit: Exit) => void,
): Service {
  return new Service(
    {
      name,
      command: process.execPath,
      args: ['--enable-source-maps', join(REPOSITORY, tier, 'dist/main.js'), '--config', config],
      logFile,
      startTimeoutMs: 60_000,
      ready: (lines) =>
        new Promise((resolve) => {
          lines((line) => {
            if (line.includes('"msg":"ready"')) resolve()
          })
        }),
    },
    onUnexpectedExit,
  )
}

function redisService(layout: Layout, onUnexpectedExit: (service: Service, exit: Exit) => void): Service {
  const folder = layout.options.folder
  return new Service(
    {
      name: 'redis',
      command: 'redis-server',
      args: ['--port', String(layout.redis), '--bind', '127.0.0.1', '--dir', join(folder, 'redis'), '--save', '', '--appendonly', 'yes'],
      logFile: join(folder, 'logs', 'redis.log'),
      startTimeoutMs: 15_000,
      ready: (lines) =>
        new Promise((resolve) => {
          lines((line) => {
            if (line.includes('Ready to accept connections')) resolve()
          })
        }),
    },
    onUnexpectedExit,
  )
}

/** Whether something listens on a loopback port: what a stack must leave behind is nothing. */
export function portInUse(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
