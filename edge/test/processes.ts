import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { freePort } from '@millrace/common/testing/ports'
import { until } from '@millrace/common/testing/until'
import { Agent, type Dispatcher, request } from 'undici'
import { sumOf } from '../src/harness/metrics-text.js'
import { commandLine, isRunning, processTree } from '../src/harness/proc.js'
import { type Answer, edgeConfig } from './edge.js'
import type { TestOrigin } from './origin.js'

export const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url))
export const ADMIN_TOKEN = 'an-admin-token-of-the-tests'

export interface LogLine {
  msg: string
  [key: string]: unknown
}

/** The processes of an edge by what they do. */
export interface Roles {
  supervisor: number
  keeper: number | undefined
  /** In order of their numbers. */
  workers: number[]
}

/** The real edge as a host runs it, on ports of its own for good: `dist/main.js` with a config file. */
export class EdgeProcess {
  /** What it has logged, of all its runs. */
  readonly lines: LogLine[] = []
  readonly configFile: string
  readonly cachePath: string
  readonly port: number
  readonly adminPort: number
  readonly #origins: TestOrigin[]
  readonly #agent = new Agent({ connections: 1100, pipelining: 1 })
  #overrides: Record<string, unknown>
  #child: ChildProcess | undefined

  private constructor(folder: string, origins: TestOrigin[], overrides: Record<string, unknown>, ports: [number, number]) {
    this.configFile = join(folder, 'edge.yaml')
    this.cachePath = join(folder, 'cache')
    this.#origins = origins
    this.#overrides = overrides
    ;[this.port, this.adminPort] = ports
  }

  /** Not started yet. */
  static async prepare(folder: string, origins: TestOrigin[], overrides: Record<string, unknown> = {}): Promise<EdgeProcess> {
    const edge = new EdgeProcess(folder, origins, overrides, [await freePort(), await freePort()])
    await edge.configure({})
    return edge
  }

  static async start(folder: string, origins: TestOrigin[], overrides: Record<string, unknown> = {}): Promise<EdgeProcess> {
    const edge = await EdgeProcess.prepare(folder, origins, overrides)
    await edge.start()
    return edge
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.adminPort}`
  }

  get pid(): number {
    return this.#child!.pid!
  }

  /** Writes the config file, with further changes for good. */
  async configure(changes: Record<string, unknown>): Promise<void> {
    this.#overrides = { ...this.#overrides, ...changes }
    const own = { listen: `127.0.0.1:${this.port}`, admin: { listen: `127.0.0.1:${this.adminPort}`, token: ADMIN_TOKEN } }
    await writeFile(this.configFile, JSON.stringify(edgeConfig(this.cachePath, this.#origins, { ...own, ...this.#overrides })))
  }

  /** @param options.under a command that runs it, such as prlimit with its arguments */
  async start(options: { under?: string[] } = {}): Promise<void> {
    const before = this.lines.length
    const [command, ...args] = [...(options.under ?? []), process.execPath, MAIN, '--config', this.configFile]
    const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#child = child
    createInterface({ input: child.stdout! }).on('line', (line) => this.lines.push(JSON.parse(line)))
    await until('ready', () => {
      if (child.exitCode !== null) throw new Error(`the edge ended: ${JSON.stringify(this.lines.slice(before))}`)
      return this.lines.slice(before).some((line) => line.msg === 'ready')
    })
  }

  /** Its processes that run now. */
  pids(): number[] {
    return processTree(this.pid)
  }

  roles(): Roles {
    const named = this.pids().map((pid) => ({ pid, title: commandLine(pid) ?? '' }))
    const workers = named.filter(({ title }) => /: worker \d/.test(title))
    workers.sort((a, b) => a.title.localeCompare(b.title))
    return {
      supervisor: this.pid,
      keeper: named.find(({ title }) => title.endsWith(': keeper'))?.pid,
      workers: workers.map(({ pid }) => pid),
    }
  }

  /** Resolves when this process is gone and all of the edge are there and ready again. */
  async replaced(pid: number, workers = 2): Promise<Roles> {
    return until('the replacement', async () => {
      const roles = this.roles()
      const whole = roles.keeper !== undefined && roles.workers.length === workers && !this.pids().includes(pid)
      return whole && (await this.childrenReady(workers)) && roles
    })
  }

  async childrenReady(workers: number): Promise<boolean> {
    const up = await this.metric('millrace_edge_children_ready')
    return up === workers + 1
  }

  async get(path: string, headers: Record<string, string> = {}, method: Dispatcher.HttpMethod = 'GET'): Promise<Answer> {
    const { statusCode, headers: fields, body } = await this.open(path, headers, method)
    return { status: statusCode, headers: fields, body: Buffer.from(await body.arrayBuffer()) }
  }

  /** An answer whose body is still to be read. */
  open(path: string, headers: Record<string, string> = {}, method: Dispatcher.HttpMethod = 'GET'): Promise<Dispatcher.ResponseData> {
    return request(this.url + path, { dispatcher: this.#agent, headers, method })
  }

  async admin(path: string, options: { method?: Dispatcher.HttpMethod; body?: unknown; token?: string } = {}) {
    const { method = 'GET', body: given, token = ADMIN_TOKEN } = options
    const headers = token === '' ? {} : { authorization: `Bearer ${token}` }
    const sent = given === undefined ? {} : { body: JSON.stringify(given) }
    const { statusCode, body } = await request(this.adminUrl + path, { method, headers, ...sent })
    return { status: statusCode, text: await body.text() }
  }

  /** The sum of a metric's samples over all processes. */
  async metric(name: string, label?: { name: string; value: string }): Promise<number> {
    const { status, text } = await this.admin('/metrics')
    if (status !== 200) throw new Error(text)
    return sumOf(text, name, label)
  }

  /** Resolves when no fill runs: what may be stored, is. */
  async idle(): Promise<void> {
    await until('no running fill', async () => (await this.metric('millrace_edge_running_fills')) === 0)
  }

  /** Sends SIGHUP. @returns the line that says what came of it */
  async reload(): Promise<LogLine> {
    const before = this.lines.length
    process.kill(this.pid, 'SIGHUP')
    return until('the end of the reload', () =>
      this.lines.slice(before).find(({ msg }) => msg === 'configuration reloaded' || msg.includes('the old one stays in force')),
    )
  }

  /** SIGTERM. @returns exit code and signal */
  async stop(): Promise<[number | null, NodeJS.Signals | null]> {
    const child = this.#child!
    if (child.exitCode !== null || child.signalCode !== null) return [child.exitCode, child.signalCode]
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const [code, signal] = await exited
    return [code, signal]
  }

  /** SIGKILL to its first process; resolves when every process of it is gone, which the others must see to. */
  async kill(): Promise<void> {
    const pids = this.pids()
    process.kill(this.pid, 'SIGKILL')
    await until('every process to be gone', () => !pids.some(isRunning))
  }

  /** For afterEach: whatever is left of it ends. */
  async end(): Promise<void> {
    const child = this.#child
    if (child && child.exitCode === null && child.signalCode === null) await this.kill()
    await this.#agent.destroy()
  }
}
