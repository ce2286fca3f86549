import type { Logger } from '@millrace/common/log'
import { type ReadConfig, readConfig } from './config-file.js'
import { takeOver } from './reloadable.js'

/** What of a running edge signals reach. */
export interface Signalled {
  reload: (next: ReadConfig) => Promise<void>
  reopenLogs: () => Promise<void>
}

/**
 * SIGHUP takes over a changed configuration, as far as that goes without a restart, all or nothing; SIGUSR1 opens the access log anew,
 * after logrotate.
 *
 * @param started the configuration in force
 */
export function onSignals(edge: Signalled, started: ReadConfig, path: string, log: Logger): void {
  let inForce = started
  const reload = async () => {
    const { needRestart, ...next } = takeOver(inForce, readConfig(path))
    await edge.reload(next)
    inForce = next
    if (needRestart.length === 0) log.info('configuration reloaded')
    else log.warn({ needRestart }, 'configuration reloaded')
  }
  // One after the other: each begins with what the one before it left in force.
  let last: Promise<void> = Promise.resolve()
  process.on('SIGHUP', () => {
    last = last.then(reload).catch((error: unknown) => {
      log.error({ err: error }, 'the new configuration is not taken over: the old one stays in force')
    })
  })
  process.on('SIGUSR1', () => {
    edge.reopenLogs().catch((error: unknown) => log.error({ err: error }, 'access log'))
  })
}
