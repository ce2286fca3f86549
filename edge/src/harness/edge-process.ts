import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { signRoute } from '@millrace/common/contracts/route'
import { freePort } from '@millrace/common/testing/ports'
import { until } from '@millrace/common/testing/until'
import { request } from 'undici'
import { type Child, lastLines, startChild } from './child.js'
import { type EdgeSettings, edgeConfig } from './edge-config.js'
import { isRunning, processTree } from './proc.js'

export const EDGE_MAIN = fileURLToPath(new URL('../main.js', import.meta.url))
const KEY_ID = 'bench'
const SECRET = 'a-key-for-benches-and-soak-runs-only'
const FAR_AWAY = 4_000_000_000

export interface EdgeOptions extends Omit<EdgeSettings, 'port' | 'adminPort' | 'cachePath' | 'keys' | 'tls'> {
  /** Of this edge alone: config, log and cache. */
  folder: string
  core?: number
  tls?: { cert: string; key: string }
}

/** An edge as a host runs it: `main.js` in a process of its own, with whatever processes it starts itself. */
export class EdgeProcess {
  readonly port: number
  readonly adminPort: number
  readonly tlsPort: number
  readonly cachePath: string
  readonly configFile: string
  readonly logFile: string
  readonly #options: EdgeOptions
  #child: Child | undefined

  private constructor(options: EdgeOptions, ports: { port: number; adminPort: number; tlsPort: number }) {
    this.#options = options
    this.port = ports.port
    this.adminPort = ports.adminPort
    this.tlsPort = ports.tlsPort
    this.cachePath = join(options.folder, 'cache')
    this.configFile = join(options.folder, 'edge.json')
    this.logFile = join(options.folder, 'edge.log')
  }

  /** Ports are its own for good, so that it comes back where it was. Not started yet. */
  static async prepare(options: EdgeOptions): Promise<EdgeProcess> {
    const edge = new EdgeProcess(options, { port: await freePort(), adminPort: await freePort(), tlsPort: await freePort() })
    const { folder, core: _, tls, ...settings } = options
    const ports = { port: edge.port, adminPort: edge.adminPort, ...(tls ? { tls: { port: edge.tlsPort, ...tls } } : {}) }
    const config = edgeConfig({ ...settings, ...ports, cachePath: edge.cachePath, keys: { [KEY_ID]: SECRET } })
    await mkdir(edge.cachePath, { recursive: true })
    await writeFile(edge.configFile, JSON.stringify(config, undefined, 2))
    return edge
  }

  static async start(options: EdgeOptions): Promise<EdgeProcess> {
    const edge = await EdgeProcess.prepare(options)
    await edge.start()
    return edge
  }

  /** Begins to run; `ready` tells when it serves. */
  async launch(): Promise<void> {
    const { core } = this.#options
    const pinned = core === undefined ? {} : { core }
    const args = [EDGE_MAIN, '--config', this.configFile]
    this.#child = await startChild({ name: 'edge', command: process.execPath, args, logFile: this.logFile, ...pinned })
  }

  async start(): Promise<void> {
    await this.launch()
    await this.ready()
  }

  /** @throws when it ended instead, with the end of its log. */
  async ready(timeoutMs = 60_000): Promise<void> {
    let ended = false
    void this.#running().exited.then(() => {
      ended = true
    })
    await until(
      'a ready edge',
      async () => ended || (await request(`http://127.0.0.1:${this.adminPort}/readyz`).then(answered)).statusCode === 200,
      timeoutMs,
    )
    if (ended) throw new Error(`the edge ended by itself:\n${lastLines(this.logFile)}`)
  }

  get pid(): number {
    return this.#running().pid
  }

  /** Every process of it that runs now. */
  pids(): number[] {
    return processTree(this.#running().pid)
  }

  async stop(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    return this.#running().stop(40_000)
  }

  /** SIGKILL to all of it at once, or to its first process alone. Resolves when every process of it is gone, which the others must see to. */
  async kill(which: 'all' | 'parent' = 'all'): Promise<void> {
    const pids = this.pids()
    for (const pid of which === 'all' ? pids : pids.slice(0, 1)) process.kill(pid, 'SIGKILL')
    await until('a killed edge to be gone', () => !pids.some(isRunning))
  }

  async admin(path: string): Promise<string> {
    const { body } = await request(`http://127.0.0.1:${this.adminPort}${path}`)
    return body.text()
  }

  #running(): Child {
    if (!this.#child) throw new Error('this edge was never started')
    return this.#child
  }
}

async function answered(response: Awaited<ReturnType<typeof request>>) {
  await response.body.dump()
  return response
}

/** Turns data paths into signed edge paths, one signature per asset. */
export function edgePaths(origins: readonly string[]): (dataPath: string) => string {
  const routes = new Map<string, string>()
  return (dataPath) => {
    const [, , videoId = '', rev = ''] = dataPath.split('/')
    const asset = `${videoId}/${rev}`
    let route = routes.get(asset)
    if (route === undefined) {
      route = signRoute({ origins: [...origins], exp: FAR_AWAY, kid: KEY_ID, key: Buffer.from(SECRET), videoId, rev })
      routes.set(asset, route)
    }
    return `/${route}${dataPath}`
  }
}
