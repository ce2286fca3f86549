import type { Logger } from './log.js'

/** One step of stopping, run in order, each with its own time limit in milliseconds. */
export interface StopPhase {
  name: string
  timeoutMs: number
  run: () => Promise<void> | void
}

export interface Running {
  /** In stopping order. */
  phases: StopPhase[]
}

/**
 * A service's life: `start` builds everything and listens; SIGTERM and SIGINT run the stop phases and exit 0, or 1 when one
 * failed or ran out of time; a second signal exits at once. A failed start exits 1 with one clear line.
 */
export async function runService(log: Logger, start: () => Promise<Running>): Promise<void> {
  process.on('unhandledRejection', (error) => {
    log.fatal({ err: error }, 'unhandled rejection')
    process.exit(1)
  })
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'uncaught exception')
    process.exit(1)
  })
  let running: Running | undefined
  let stopping = false
  const stop = (signal: string) => {
    if (stopping) process.exit(1)
    stopping = true
    log.info({ signal }, 'stopping')
    void stopInPhases(running?.phases ?? [], log).then((clean) => process.exit(clean ? 0 : 1))
  }
  process.on('SIGTERM', () => stop('SIGTERM'))
  process.on('SIGINT', () => stop('SIGINT'))
  try {
    running = await start()
  } catch (error) {
    log.fatal({ err: error }, `cannot start: ${(error as Error).message}`)
    process.exit(1)
  }
}

/** @returns whether every phase ended in time and without an error. A failed phase doesn't keep the later ones from running. */
export async function stopInPhases(phases: StopPhase[], log: Logger): Promise<boolean> {
  let clean = true
  for (const phase of phases) {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done after ${phase.timeoutMs} ms`)), phase.timeoutMs)
    })
    try {
      await Promise.race([Promise.resolve(phase.run()), late])
    } catch (error) {
      clean = false
      log.error({ err: error, phase: phase.name }, 'stop phase failed')
    } finally {
      clearTimeout(timer)
    }
  }
  return clean
}
