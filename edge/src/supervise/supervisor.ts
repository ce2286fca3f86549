import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ListenAddress } from '@millrace/common/config/units'
import { MillraceError } from '@millrace/common/errors'
import type { StopPhase } from '@millrace/common/lifecycle'
import type { Logger } from '@millrace/common/log'
import { startAdminServer } from '@millrace/common/metrics/admin-server'
import { Registry } from 'prom-client'
import { z } from 'zod'
import { ChildSlot, type SlotTimes } from './child-slot.js'
import { supervisorMetrics } from './metrics.js'
import { RESTART_LIMITS, type RestartLimits } from './restart-policy.js'
import type { Role } from './start-message.js'
import { familiesSchema, SummedMetrics } from './summed-metrics.js'

export interface SupervisorOptions {
  /** Of the process's title, before its role. */
  title: string
  /** File of the children, which calls `runChild`. */
  entry: string
  /** Options for node. */
  execArgv?: readonly string[]
  workers: number
  /** What each child gets to start with, until `reload` gives another one: plain data. */
  config: unknown
  /** Of the supervisor's process. */
  registry: Registry
  admin: {
    listen: ListenAddress
    /** Further routes; false for a path that it doesn't know. */
    handle?: (request: IncomingMessage, response: ServerResponse) => Promise<boolean>
  }
  /** How long a worker may take to end its transfers, in milliseconds. */
  drainTimeoutMs: number
  limits?: RestartLimits
  times?: SlotTimes
  log: Logger
  /** After the start: the keeper, or the last one of all workers, can't be started any more. The service is to exit with this error. */
  onGiveUp: (error: MillraceError) => void
}

const DEFAULT_TIMES: SlotTimes = { pingEveryMs: 2000, pingTimeoutMs: 10_000 }
const ASK_MS = 2000
const RELOAD_MS = 30_000
/** For a child's own way out, beside a worker's drain: more than its phases may take together, the last of which writes the keeper's index. */
export const STOP_SLACK_MS = 20_000
/** `sun_path` has 108 bytes, the closing zero included. */
const MAX_SOCKET_PATH = 107

/** Forks the keeper and the workers, waits until all do their work, and goes on to watch over them. */
export async function supervise(options: SupervisorOptions): Promise<Supervisor> {
  process.title = `${options.title}: supervisor`
  const folder = await mkdtemp(join(tmpdir(), 'millrace-edge-'))
  const supervisor = new Supervisor(options, folder)
  try {
    if (Buffer.byteLength(supervisor.socketPath) > MAX_SOCKET_PATH) {
      throw new MillraceError(`${supervisor.socketPath} is too long for a socket: set TMPDIR`, {
        code: 'bad-config',
        source: 'client',
        retryable: false,
      })
    }
    await supervisor.start()
    return supervisor
  } catch (error) {
    await supervisor.stopAll()
    throw error
  }
}

/** The parent of the processes of one edge. It serves the admin port itself and no viewer. */
export class Supervisor {
  readonly socketPath: string
  readonly #options: SupervisorOptions
  readonly #folder: string
  readonly #keeper: ChildSlot
  readonly #workers: ChildSlot[]
  readonly #metrics = new SummedMetrics()
  readonly #own: ReturnType<typeof supervisorMetrics>
  #admin: Awaited<ReturnType<typeof startAdminServer>> | undefined
  #config: unknown
  /** What each child's process has in force. */
  readonly #configOf = new Map<ChildSlot, unknown>()
  #address: ListenAddress | undefined
  #stopping = false
  #started = false
  #giveUp!: (error: MillraceError) => void
  readonly #givenUp: Promise<never>
  /** Reloads and restarts run one after the other. */
  #tail: Promise<unknown> = Promise.resolve()

  /** Use `supervise`. */
  constructor(options: SupervisorOptions, folder: string) {
    this.#options = options
    this.#folder = folder
    this.#config = options.config
    this.socketPath = join(folder, 'keeper.sock')
    this.#givenUp = new Promise((_, reject) => {
      this.#giveUp = reject
    })
    // Whoever waits for it sees it; after the start nobody does.
    this.#givenUp.catch(() => undefined)
    this.#own = supervisorMetrics(options.registry, (role) => this.#ready().filter((slot) => slot.role === role).length)
    this.#keeper = this.#slot('keeper', 0)
    this.#workers = Array.from({ length: options.workers }, (_, index) => this.#slot('worker', index + 1))
  }

  /** Where the workers listen. */
  get address(): ListenAddress {
    if (!this.#address)
      throw new MillraceError('no worker listens', { code: 'not-ready', source: 'internal', retryable: true, status: 503 })
    return this.#address
  }

  get adminAddress(): ListenAddress {
    if (!this.#admin) throw new MillraceError('not started', { code: 'not-ready', source: 'internal', retryable: true, status: 503 })
    return this.#admin.address
  }

  /** Name, process id and state of each child. */
  children(): { name: string; role: Role; pid: number | undefined; state: ChildSlot['state'] }[] {
    return this.#slots.map(({ name, role, pid, state }) => ({ name, role, pid, state }))
  }

  /**
   * Asks the keeper's process, by a method that its `RunningChild.methods` names.
   *
   * @throws MillraceError `child-gone` or `child-silent` (503), or what the method threw
   */
  askKeeper(method: string, payload?: unknown, timeoutMs = ASK_MS): Promise<unknown> {
    return this.#keeper.ask(method, payload, timeoutMs)
  }

  /** `RunningChild.status` of each child that does its work, by its name. One that doesn't answer is left out. */
  async statuses(): Promise<Map<string, unknown>> {
    const statuses = new Map<string, unknown>()
    await Promise.all(
      this.#ready().map(async (slot) => {
        try {
          statuses.set(slot.name, await slot.ask('status', undefined, ASK_MS))
        } catch (error) {
          this.#options.log.warn({ err: error, child: slot.name }, 'no status')
        }
      }),
    )
    return statuses
  }

  /** Of all processes together. One that doesn't answer in time is there with what it told last. */
  async metrics(): Promise<Registry> {
    const { registry, log } = this.#options
    await Promise.all(
      this.#ready().map(async (slot) => {
        const { id } = slot
        try {
          const families = familiesSchema.parse(await slot.ask('metrics', undefined, ASK_MS))
          if (slot.id === id) this.#metrics.update(slot.name, families)
        } catch (error) {
          log.warn({ err: error, child: slot.name }, 'no metrics')
        }
      }),
    )
    return this.#metrics.registry({ process: 'supervisor', families: familiesSchema.parse(await registry.getMetricsAsJSON()) })
  }

  /**
   * Gives every child a new config: first all prepare for it, then all put it into force. When one can't prepare for it, or the first one
   * can't put it into force, all keep the old one.
   *
   * @throws MillraceError of the child that can't
   */
  reload(config: unknown): Promise<void> {
    return this.#inTurn(async () => {
      const prepared = this.#ready().map((slot) => ({ slot, id: slot.id }))
      const answers = await Promise.allSettled(prepared.map(({ slot }) => slot.ask('prepare', config, RELOAD_MS)))
      const discard = () => {
        for (const { slot } of prepared) slot.tell('discard')
      }
      const failed = answers.find((answer) => answer.status === 'rejected')
      if (failed) {
        discard()
        throw failed.reason
      }
      const first = prepared.find(({ slot, id }) => slot.role === 'worker' && slot.id === id)
      if (first) {
        try {
          await first.slot.ask('apply', undefined, RELOAD_MS)
        } catch (error) {
          // Without an answer nobody knows what it has in force; it comes back with the old one.
          if (error instanceof MillraceError && error.code === 'child-silent') first.slot.kill('hung')
          discard()
          throw error
        }
        this.#configOf.set(first.slot, config)
      }
      // From here on: who starts meanwhile or dies of it comes back with the new one.
      this.#config = config
      for (const slot of this.#ready()) {
        await this.#bringUpToDate(
          slot,
          prepared.some((other) => other.id === slot.id),
        )
      }
    })
  }

  /** Every child opens its log files anew. */
  async reopenLogs(): Promise<void> {
    await Promise.all(this.#ready().map((slot) => slot.ask('reopen', undefined, ASK_MS)))
  }

  /**
   * Replaces the workers one after the other, each after it has ended its transfers: for an upgrade.
   *
   * @throws MillraceError of a worker that didn't come back: the later ones are left as they are
   */
  restartWorkers(): Promise<void> {
    return this.#inTurn(async () => {
      for (const slot of this.#workers) {
        if (this.#stopping) return
        await slot.stop(this.#options.drainTimeoutMs + STOP_SLACK_MS)
        slot.start()
        await slot.tried()
        this.#own.restarted(slot.role, 'asked')
      }
    })
  }

  /** For `runService`, in stopping order. */
  get phases(): StopPhase[] {
    const stopMs = this.#options.drainTimeoutMs + STOP_SLACK_MS
    return [
      {
        name: 'unready',
        timeoutMs: 1000,
        run: () => {
          this.#stopping = true
        },
      },
      {
        name: 'workers',
        timeoutMs: stopMs + 2000,
        run: () => stopCleanly(this.#workers, stopMs),
      },
      { name: 'keeper', timeoutMs: STOP_SLACK_MS + 2000, run: () => stopCleanly([this.#keeper], STOP_SLACK_MS) },
      { name: 'admin', timeoutMs: 1000, run: () => this.#admin?.close() },
      { name: 'socket', timeoutMs: 1000, run: () => rm(this.#folder, { recursive: true, force: true }) },
    ]
  }

  /** Without grace: a start that failed. */
  async stopAll(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#slots.map((slot) => slot.stop(0)))
    await this.#admin?.close()
    await rm(this.#folder, { recursive: true, force: true })
  }

  /** The keeper first; then one worker, which finds the port; then the others. */
  async start(): Promise<void> {
    const { admin, workers } = this.#options
    this.#admin = await startAdminServer({
      listen: admin.listen,
      registry: { metrics: async () => (await this.metrics()).metrics(), contentType: Registry.PROMETHEUS_CONTENT_TYPE },
      ready: {
        running: () => (this.#stopping ? 'stopping' : undefined),
        // Once all was there, one worker is enough: it serves hits, and what has to be fetched even while the keeper is replaced.
        keeper: () => (this.#started ? undefined : this.#notReady([this.#keeper])),
        workers: () => (this.#started && this.#workers.some(({ state }) => state === 'ready') ? undefined : this.#notReady(this.#workers)),
      },
      ...(admin.handle && { handle: admin.handle }),
    })
    await this.#bringUp([this.#keeper])
    await this.#bringUp(this.#workers.slice(0, 1))
    await this.#bringUp(this.#workers.slice(1, workers))
    this.#started = true
  }

  get #slots(): ChildSlot[] {
    return [this.#keeper, ...this.#workers]
  }

  #ready(): ChildSlot[] {
    return this.#slots.filter((slot) => slot.state === 'ready')
  }

  #notReady(slots: ChildSlot[]): string | undefined {
    const names = slots.filter((slot) => slot.state !== 'ready').map((slot) => `${slot.name} is ${slot.state}`)
    return names.length > 0 ? names.join(', ') : undefined
  }

  async #bringUp(slots: ChildSlot[]): Promise<void> {
    for (const slot of slots) slot.start()
    await Promise.race([Promise.all(slots.map((slot) => slot.ready())), this.#givenUp])
  }

  #slot(role: Role, number: number): ChildSlot {
    const { entry, execArgv, limits, times, log, onGiveUp } = this.#options
    const name = role === 'keeper' ? role : `${role}-${number}`
    const slot: ChildSlot = new ChildSlot({
      role,
      name,
      entry,
      execArgv: execArgv ?? process.execArgv,
      limits: limits ?? RESTART_LIMITS,
      times: times ?? DEFAULT_TIMES,
      message: (id) => {
        this.#configOf.set(slot, this.#config)
        const { socketPath } = this
        return { role, name, id, number, socketPath, address: this.#address, workers: this.#living(), config: this.#config }
      },
      handlers: { late: (ids) => this.#killLate(z.array(z.string()).parse(ids)) },
      onChange: () => {
        if (role === 'worker') this.#keeper.tell('workers', this.#living())
      },
      onReady: async (address) => {
        if (role === 'worker') this.#address ??= address
        // It started before a reload and became ready after it.
        while (this.#configOf.get(slot) !== this.#config) await this.#putInForce(slot, false)
        log.info({ child: name, pid: slot.pid, address }, 'child ready')
      },
      onLastMetrics: (metrics) => this.#metrics.update(name, familiesSchema.parse(metrics)),
      onExit: () => this.#metrics.retire(name),
      onRestart: (reason, error) => {
        this.#own.restarted(role, reason)
        log.error({ err: error, child: name, reason, detail: error.detail }, 'child is replaced')
      },
      // What keeps one worker from starting mostly keeps the next one too, but those that run go on serving.
      spare: () => this.#started && role === 'worker' && this.#workers.some((other) => other !== slot && !other.failing),
      onGiveUp: (error) => {
        this.#giveUp(error)
        if (this.#started) onGiveUp(error)
      },
      onFault: (error) => log.error({ err: error, child: name }, 'child'),
    })
    return slot
  }

  /** Worker processes, ready or not. */
  #living(): string[] {
    return this.#workers.flatMap(({ id }) => (id === undefined ? [] : [id]))
  }

  #killLate(ids: string[]): void {
    for (const slot of this.#workers) if (slot.id !== undefined && ids.includes(slot.id)) slot.kill('late')
  }

  /** A child that can't take what all others have taken is replaced: it comes back with it. */
  async #bringUpToDate(slot: ChildSlot, prepared: boolean): Promise<void> {
    if (this.#configOf.get(slot) === this.#config) return
    try {
      await this.#putInForce(slot, prepared)
    } catch (error) {
      this.#options.log.error({ err: error, child: slot.name }, 'could not put the new config into force')
      slot.kill('died')
    }
  }

  async #putInForce(slot: ChildSlot, prepared: boolean): Promise<void> {
    const config = this.#config
    if (!prepared) await slot.ask('prepare', config, RELOAD_MS)
    await slot.ask('apply', undefined, RELOAD_MS)
    this.#configOf.set(slot, config)
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work)
    this.#tail = done.catch(() => undefined)
    return done
  }
}

/** @throws MillraceError `unclean-stop` when one has left work undone: its own log says what. */
async function stopCleanly(slots: readonly ChildSlot[], timeoutMs: number): Promise<void> {
  const ended = await Promise.all(slots.map((slot) => slot.stop(timeoutMs)))
  const left = slots.filter((_, index) => !ended[index]).map((slot) => slot.name)
  if (left.length === 0) return
  throw new MillraceError(`not stopped cleanly: ${left.join(', ')}`, { code: 'unclean-stop', source: 'internal', retryable: false })
}
