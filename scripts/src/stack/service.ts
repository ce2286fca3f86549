import { createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { bound } from '@millrace/common/process'

export interface ServiceSpec {
  name: string
  command: string
  args: string[]
  logFile: string
  /** Resolves when it can be used; `lines` gives each line of its stdout. */
  ready: (lines: (listener: (line: string) => void) => void) => Promise<void>
  startTimeoutMs: number
}

export interface Exit {
  code: number | undefined
  signal: string | undefined
}

/**
 * One process of the stack. It dies with this process, whatever kills that; it may be killed, stopped and started again.
 */
export class Service {
  readonly #spec: ServiceSpec
  readonly #onUnexpectedExit: (service: Service, exit: Exit) => void
  #running: { pid: number; kill: (signal: NodeJS.Signals) => void; ended: Promise<Exit>; expected: boolean } | undefined

  constructor(spec: ServiceSpec, onUnexpectedExit: (service: Service, exit: Exit) => void) {
    this.#spec = spec
    this.#onUnexpectedExit = onUnexpectedExit
  }

  get name(): string {
    return this.#spec.name
  }
  get logFile(): string {
    return this.#spec.logFile
  }
  get pid(): number | undefined {
    return this.#running?.pid
  }

  /** @throws Error naming the service and its log when it ends or is silent before it is ready. */
  async start(): Promise<void> {
    const { name, command, args, logFile, ready, startTimeoutMs } = this.#spec
    const log = createWriteStream(logFile, { flags: 'a', mode: 0o600 })
    const child = bound(command, args, { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe', buffer: false, reject: false })
    child.stdout.pipe(log, { end: false })
    child.stderr.pipe(log, { end: false })
    const lines = createInterface({ input: child.stdout })
    const ended = child.then((result): Exit => ({ code: result.exitCode, signal: result.signal }))
    const running = { pid: child.pid!, kill: (signal: NodeJS.Signals) => void child.kill(signal), ended, expected: false }
    this.#running = running
    void ended.then((exit) => {
      log.end()
      if (this.#running === running) this.#running = undefined
      if (!running.expected) this.#onUnexpectedExit(this, exit)
    })
    let timer: NodeJS.Timeout | undefined
    try {
      await Promise.race([
        ready((listener) => lines.on('line', listener)),
        ended.then((exit) => {
          throw new Error(`${name} ended before it was ready (${exit.signal ?? `exit ${exit.code}`}); its log: ${logFile}`)
        }),
        new Promise((_, reject) => {
          timer = setTimeout(
            () => reject(new Error(`${name} was not ready after ${startTimeoutMs} ms; its log: ${logFile}`)),
            startTimeoutMs,
          )
        }),
      ])
    } catch (error) {
      running.expected = true
      running.kill('SIGKILL')
      await ended
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  /** SIGTERM, and SIGKILL when that takes longer than `graceMs`. */
  async stop(graceMs = 15_000): Promise<Exit | undefined> {
    const running = this.#running
    if (!running) return undefined
    running.expected = true
    running.kill('SIGTERM')
    const timer = setTimeout(() => running.kill('SIGKILL'), graceMs)
    const exit = await running.ended
    clearTimeout(timer)
    return exit
  }

  /** Pulls its plug. */
  async kill(): Promise<void> {
    const running = this.#running
    if (!running) return
    running.expected = true
    running.kill('SIGKILL')
    await running.ended
  }
}
