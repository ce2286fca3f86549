import { type ChildProcess, fork } from 'node:child_process'
import type { ListenAddress } from '@millrace/common/config/units'
import { MillraceError } from '@millrace/common/errors'
import { z } from 'zod'
import { ControlChannel, type ControlHandlers } from './control.js'
import { type Death, decideRestart, type RestartLimits } from './restart-policy.js'
import { type Role, readySchema, type StartMessage } from './start-message.js'

/** Why a child's process had to be replaced; a metrics label. */
export const RESTART_REASONS = ['died', 'hung', 'late', 'asked'] as const
export type RestartReason = (typeof RESTART_REASONS)[number]

export interface SlotTimes {
  pingEveryMs: number
  /** A child that doesn't answer for so long is killed. */
  pingTimeoutMs: number
}

export interface SlotOptions {
  role: Role
  name: string
  entry: string
  execArgv: readonly string[]
  limits: RestartLimits
  times: SlotTimes
  /** Made anew for each process. */
  message: (id: string) => StartMessage
  handlers: ControlHandlers
  /** A process was forked or is gone. */
  onChange: () => void
  /** Its process does its work. May reject: the process is then replaced. */
  onReady: (address: ListenAddress | undefined) => Promise<void> | void
  /** What it had counted when it had ended its work: its `metrics`, before it exits. */
  onLastMetrics: (metrics: unknown) => void
  /** Its process is gone. */
  onExit: () => void
  onRestart: (reason: RestartReason, error: MillraceError) => void
  /** Whether the service can go on while this one can't be started: it is then tried on and on, slowly. Asked at each death. */
  spare: () => boolean
  /** It can't be started. */
  onGiveUp: (error: MillraceError) => void
  onFault: (error: Error) => void
}

type SlotState = 'starting' | 'ready' | 'waiting' | 'stopping' | 'stopped'

const STDERR_TAIL = 4096
/** From the end of its work to the end of its process. */
const EXIT_MS = 1000

const stoppedSchema = z.object({ clean: z.boolean(), metrics: z.unknown() })

/** One place among the children: always one process in it, replaced when it dies or hangs, until it is stopped. */
export class ChildSlot {
  readonly #options: SlotOptions
  state: SlotState = 'stopped'
  #child: ChildProcess | undefined
  #channel: ControlChannel | undefined
  /** Of the process that lives. */
  id: string | undefined
  #incarnation = 0
  #everReady = false
  /** Died too often before it was ready, and hasn't been ready since. */
  failing = false
  readonly #deaths: Death[] = []
  #killedFor: RestartReason | undefined
  #startError: MillraceError | undefined
  #stderr = ''
  #ping: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #whenReady: (() => void)[] = []
  #whenTried: ((error: MillraceError | undefined) => void)[] = []
  #whenGone: (() => void)[] = []

  constructor(options: SlotOptions) {
    this.#options = options
  }

  get name(): string {
    return this.#options.name
  }

  get role(): Role {
    return this.#options.role
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Forks its process. Told further by the callbacks. */
  start(): void {
    const { entry, execArgv, name, role, message, handlers, onChange, onFault } = this.#options
    this.state = 'starting'
    this.#startError = undefined
    this.#killedFor = undefined
    this.#stderr = ''
    this.id = `${name}.${++this.#incarnation}`
    const child = fork(entry, [role], {
      execPath: process.execPath,
      execArgv: [...execArgv],
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    })
    this.#child = child
    child.stderr?.on('data', (chunk: Buffer) => {
      process.stderr.write(chunk)
      this.#stderr = (this.#stderr + chunk.toString()).slice(-STDERR_TAIL)
    })
    const channel = new ControlChannel(
      {
        send: (out, sent) => child.send(out, sent),
        onMessage: (listener) => child.on('message', listener),
      },
      handlers,
      onFault,
    )
    this.#channel = channel
    let failure: Error | undefined
    child.on('error', (error) => {
      failure = error
      // Without a process there is no exit either.
      if (child.pid === undefined) this.#exited(channel, `can't be forked: ${error.message}`)
    })
    // Not `exit`: its last words are read by then.
    child.on('close', (code, signal) => this.#exited(channel, describeExit(code, signal, failure)))
    this.#watch(child, channel)
    onChange()
    void this.#startProcess(child, channel, message(this.id))
  }

  /** @throws MillraceError `child-gone`, `child-silent`, or what the child answered */
  ask(method: string, payload?: unknown, timeoutMs?: number): Promise<unknown> {
    if (!this.#channel) return Promise.reject(notRunning(this.name))
    return this.#channel.ask(method, payload, timeoutMs)
  }

  tell(method: string, payload?: unknown): void {
    this.#channel?.tell(method, payload)
  }

  /** Its process is replaced, without a chance to end its work. */
  kill(reason: RestartReason): void {
    this.#killedFor ??= reason
    this.#child?.kill('SIGKILL')
  }

  /**
   * Lets its process end its work, and kills it when that takes longer; without a time at once. Nothing takes its place.
   *
   * @returns whether it has ended all of its work, if it had any
   */
  async stop(timeoutMs: number): Promise<boolean> {
    clearTimeout(this.#retry)
    const child = this.#child
    const graceful = this.state === 'ready' && timeoutMs > 0
    this.state = child ? 'stopping' : 'stopped'
    this.#wake()
    if (!child) return true
    let ended = true
    const gone = new Promise<void>((resolve) => this.#whenGone.push(resolve))
    let late: NodeJS.Timeout | undefined
    if (graceful) {
      try {
        const { clean, metrics } = stoppedSchema.parse(await this.ask('stop', undefined, timeoutMs))
        ended = clean
        this.#options.onLastMetrics(metrics)
        this.tell('exit')
        late = setTimeout(() => child.kill('SIGKILL'), EXIT_MS)
      } catch (error) {
        ended = false
        this.#options.onFault(error as Error)
        child.kill('SIGKILL')
      }
    } else child.kill('SIGKILL')
    await gone
    clearTimeout(late)
    return ended
  }

  /** Resolves when its process does its work, or when it was stopped. */
  ready(): Promise<void> {
    if (this.state === 'ready' || this.state === 'stopped') return Promise.resolve()
    return new Promise((resolve) => this.#whenReady.push(resolve))
  }

  /**
   * Resolves when the process that is starting does its work, or was stopped.
   *
   * @throws MillraceError of that process, when it dies first; another one is tried all the same
   */
  async tried(): Promise<void> {
    if (this.state === 'ready' || this.state === 'stopped') return
    const error = await new Promise<MillraceError | undefined>((resolve) => this.#whenTried.push(resolve))
    if (error) throw error
  }

  async #startProcess(child: ChildProcess, channel: ControlChannel, message: StartMessage): Promise<void> {
    try {
      // Takes as long as it takes (a keeper reads its disks); a child that hangs is noticed by its pings.
      const { address } = readySchema.parse(await channel.ask('start', message))
      await this.#options.onReady(address)
      if (this.#channel !== channel || this.state !== 'starting') return
      this.state = 'ready'
      this.#everReady = true
      this.failing = false
      this.#wake()
    } catch (error) {
      // Also when it died: its exit, which is then under way, tells more.
      if (error instanceof MillraceError && error.code !== 'child-gone') this.#startError = error
      else if (!(error instanceof MillraceError)) this.#options.onFault(error as Error)
      child.kill('SIGKILL')
    }
  }

  /**
   * Asks twice in a row, so that a supervisor that was itself suspended doesn't take its children for hung. The first answer may take three
   * times as long: a program that is being loaded answers nothing.
   */
  #watch(child: ChildProcess, channel: ControlChannel): void {
    const { pingEveryMs, pingTimeoutMs } = this.#options.times
    let loaded = false
    const ping = async () => {
      for (let tries = 0; tries < 2; tries++) {
        try {
          await channel.ask('ping', undefined, loaded ? pingTimeoutMs / 2 : pingTimeoutMs * 1.5)
          loaded = true
          break
        } catch (error) {
          if (!(error instanceof MillraceError) || error.code !== 'child-silent') return
          if (tries === 1 && this.#child === child) return this.kill('hung')
        }
      }
      if (this.#child === child) this.#ping = setTimeout(ping, pingEveryMs)
    }
    this.#ping = setTimeout(ping, pingEveryMs)
  }

  #exited(channel: ControlChannel, how: string): void {
    if (this.#channel !== channel) return
    const { onChange, onExit, onRestart, onGiveUp, spare, limits, name } = this.#options
    const wasReady = this.state === 'ready'
    const stopping = this.state === 'stopping' || this.state === 'stopped'
    clearTimeout(this.#ping)
    this.#child = undefined
    this.#channel = undefined
    this.id = undefined
    channel.close()
    onExit()
    const gone = this.#whenGone
    this.#whenGone = []
    for (const resolve of gone) resolve()
    if (stopping) {
      this.state = 'stopped'
      onChange()
      return
    }
    this.state = 'waiting'
    onChange()
    const reason = this.#killedFor ?? 'died'
    const error = this.#startError ?? childDied(name, reason === 'died' ? how : `killed: ${reason}`, this.#stderr)
    this.#deaths.push({ at: performance.now(), wasReady })
    if (this.#deaths.length > limits.maxDeaths) this.#deaths.shift()
    const decision = decideRestart(this.#deaths, limits)
    // What no second try can change, such as a bad config, is told at once while nothing runs yet.
    if (decision.kind === 'give-up' || (!this.#everReady && this.#startError?.retryable === false)) this.failing = true
    if (this.failing && !spare()) {
      this.state = 'stopped'
      this.#wake(error)
      onGiveUp(error)
      return
    }
    this.#wakeTried(error)
    onRestart(reason, error)
    const afterMs = this.failing || decision.kind === 'give-up' ? limits.maxBackoffMs : decision.afterMs
    if (afterMs === 0) this.start()
    else this.#retry = setTimeout(() => this.start(), afterMs)
  }

  #wake(error?: MillraceError): void {
    const waiting = this.#whenReady
    this.#whenReady = []
    for (const resolve of waiting) resolve()
    this.#wakeTried(error)
  }

  #wakeTried(error: MillraceError | undefined): void {
    const waiting = this.#whenTried
    this.#whenTried = []
    for (const resolve of waiting) resolve(error)
  }
}

function describeExit(code: number | null, signal: NodeJS.Signals | null, failure: Error | undefined): string {
  if (failure) return failure.message
  return signal ? `ended by ${signal}` : `exit code ${code}`
}

function childDied(name: string, how: string, stderr: string): MillraceError {
  return new MillraceError(`${name} died: ${how}`, {
    code: 'child-died',
    source: 'internal',
    retryable: true,
    ...(stderr && { detail: stderr }),
  })
}

function notRunning(name: string): MillraceError {
  return new MillraceError(`${name} is not running`, { code: 'child-gone', source: 'internal', retryable: true, status: 503 })
}
