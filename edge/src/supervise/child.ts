import { rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ListenAddress } from '@millrace/common/config/units'
import { MillraceError } from '@millrace/common/errors'
import { type StopPhase, stopInPhases } from '@millrace/common/lifecycle'
import type { Logger } from '@millrace/common/log'
import { z } from 'zod'
import { ControlChannel, type ControlHandlers, noSuchMethod } from './control.js'
import { type StartMessage, startSchema } from './start-message.js'

/** A child that does its work. */
export interface RunningChild {
  /** Of a worker: where it listens. */
  address?: ListenAddress
  /** `registry.getMetricsAsJSON()`. */
  metrics: () => Promise<unknown>
  status?: () => unknown
  /**
   * Checks a new config and prepares for it; what it returns puts it into force, and is called only when every process could prepare. When
   * that throws, the old one is to be in force, whole.
   */
  prepareReload?: (config: unknown) => Promise<() => void | Promise<void>>
  /** Opens its log files anew. */
  reopenLogs?: () => void | Promise<void>
  /** Of a keeper: the worker processes that live. */
  setWorkers?: (ids: string[]) => void
  /** Further methods that the supervisor's owner asks by name. */
  methods?: ControlHandlers
  /** In stopping order. */
  phases: StopPhase[]
}

/** What a child may tell its supervisor. */
export interface Parent {
  /** These workers didn't confirm a purge in time: they are to be killed. */
  late(workers: string[]): void
}

/**
 * The life of a keeper or a worker, whose entry file calls this and nothing else. It starts, reloads and stops as its supervisor asks, and
 * dies with it. Signals for the whole group (a terminal's, systemd's) are the supervisor's: it stops its children in order.
 *
 * @param title of the process, before its role
 */
export function runChild(title: string, log: Logger, start: (message: StartMessage, parent: Parent) => Promise<RunningChild>): void {
  let running: RunningChild | undefined
  let message: StartMessage | undefined
  let apply: (() => void | Promise<void>) | undefined
  /** Told while it was still starting. */
  let workers: string[] | undefined

  const fatal = (what: string) => (error: unknown) => {
    log.fatal({ err: error }, what)
    process.exit(1)
  }
  process.on('unhandledRejection', fatal('unhandled rejection'))
  process.on('uncaughtException', fatal('uncaught exception'))
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {})
  process.on('disconnect', () => {
    // The supervisor is gone without a word, so nobody else clears away after it.
    if (message?.role === 'keeper') rmSync(dirname(message.socketPath), { recursive: true, force: true })
    process.exit(1)
  })

  const handlers: ControlHandlers = {
    ping: () => undefined,
    start: async (raw) => {
      message = startSchema.parse(raw)
      process.title = `${title}: ${message.role === 'worker' ? `worker ${message.number}` : message.role}`
      running = await start(message, { late: (workers) => channel.tell('late', workers) })
      Object.assign(handlers, { ...running.methods, ...handlers })
      if (workers) running.setWorkers?.(workers)
      return { address: running.address }
    },
    metrics: () => running?.metrics() ?? [],
    status: () => running?.status?.(),
    prepare: async (config) => {
      apply = await started(running).prepareReload?.(config)
    },
    apply: async () => {
      const prepared = apply
      apply = undefined
      await prepared?.()
    },
    discard: () => {
      apply = undefined
    },
    reopen: () => running?.reopenLogs?.(),
    workers: (ids) => {
      workers = z.array(z.string()).parse(ids)
      running?.setWorkers?.(workers)
    },
    stop: async () => {
      const clean = await stopInPhases(running?.phases ?? [], log)
      return { clean, metrics: (await running?.metrics()) ?? [] }
    },
    exit: () => process.exit(0),
  }
  const send = process.send?.bind(process)
  if (!send) {
    process.stderr.write('this file is run by its supervisor\n')
    process.exit(2)
  }
  const channel = new ControlChannel(
    {
      send: (out, sent) => send(out, undefined, {}, sent),
      onMessage: (listener) => process.on('message', listener),
    },
    handlers,
    fatal('control channel'),
    // Which further methods there are is known only after the start.
    (method) => (running ? noSuchMethod(method) : notReady()),
  )
}

function started(running: RunningChild | undefined): RunningChild {
  if (!running) throw notReady()
  return running
}

function notReady(): MillraceError {
  return new MillraceError('not started yet', { code: 'not-ready', source: 'internal', retryable: true, status: 503 })
}
