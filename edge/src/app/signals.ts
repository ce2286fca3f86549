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
 * @param starting what is obeyed as soon as it has started: until then signals wait, since by default they end the process
 * @param started the configuration that it starts with
 */
export function onSignals(starting: Promise<Signalled>, started: ReadConfig, path: string, log: Logger): void {
  let inForce = started
  const reload = async () => {
    const edge = await starting
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
    const reopened = starting.then((edge) => edge.reopenLogs())
    reopened.catch((error: unknown) => log.error({ err: error }, 'access log'))
  })
}
