import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'

/** How many of each tier, and what differs from the defaults of a demo. */
export interface StackOptions {
  /** Everything the stack writes: data, configs, logs. */
  folder: string
  origins: number
  edges: number
  transcoders: number
  /** x264 preset of every rung. */
  x264Preset: string
  /** PostgreSQL instead of PGlite. */
  databaseUrl?: string
  /** Preferred port of the CMS; edges follow. Taken ones are replaced by free ones. */
  preferredPort?: number
  maxSourceBytes: string
  edgeCacheSize: string
  /** How long a dead transcoder's job waits for another. */
  stallInterval: string
  /** Wait before a failed job is tried again; doubles each time. */
  retryDelay: string
  /** CIDRs outside the public internet that sources may come from. */
  allowPrivate: string[]
}

export interface OriginAddresses {
  id: string
  data: number
  control: number
  admin: number
  rsync: number
}

/** Every port and secret of one stack: chosen once, then configs are a pure function of it. */
export interface Layout {
  options: StackOptions
  redis: number
  cms: { port: number; admin: number }
  transcoders: { id: string; admin: number; secret: string }[]
  origins: OriginAddresses[]
  edges: { id: string; port: number; admin: number }[]
  secrets: { internal: string; origin: string; sibling: string; route: string }
}

export async function planLayout(options: StackOptions): Promise<Layout> {
  const ports = new PortPicker()
  const secret = () => randomBytes(24).toString('base64url')
  const layout: Layout = {
    options,
    redis: await ports.free(),
    cms: { port: await ports.prefer(options.preferredPort), admin: await ports.free() },
    transcoders: [],
    origins: [],
    edges: [],
    secrets: { internal: secret(), origin: secret(), sibling: secret(), route: secret() },
  }
  for (let i = 1; i <= options.edges; i++) {
    const wanted = options.preferredPort === undefined ? undefined : options.preferredPort + i
    layout.edges.push({ id: `e${i}`, port: await ports.prefer(wanted), admin: await ports.free() })
  }
  for (let i = 1; i <= options.origins; i++) {
    layout.origins.push({
      id: `o${i}`,
      data: await ports.free(),
      control: await ports.free(),
      admin: await ports.free(),
      rsync: await ports.free(),
    })
  }
  for (let i = 1; i <= options.transcoders; i++) layout.transcoders.push({ id: `t${i}`, admin: await ports.free(), secret: secret() })
  return layout
}

/** Loopback ports that are free now and that this picker has not given out before. */
class PortPicker {
  readonly #given = new Set<number>()

  async prefer(port: number | undefined): Promise<number> {
    if (port !== undefined && !this.#given.has(port) && (await bindable(port)) === port) {
      this.#given.add(port)
      return port
    }
    return this.free()
  }

  async free(): Promise<number> {
    for (;;) {
      const port = await bindable(0)
      if (port === undefined || this.#given.has(port)) continue
      this.#given.add(port)
      return port
    }
  }
}

function bindable(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : undefined))
    })
  })
}
