import type { Logger } from '@millrace/common/log'
import type { Config } from '../config.js'
import { readConfig } from './config-file.js'

/** What of a running edge signals reach. */
export interface Signalled {
  reload: (config: Config, raw: unknown) => Promise<void>
  reopenLogs: () => Promise<void>
}

/** SIGHUP takes over a changed configuration, all or nothing; SIGUSR1 opens the access log anew, after logrotate. */
export function onSignals(edge: Signalled, path: string, log: Logger): void {
  process.on('SIGHUP', () => {
    const reload = async () => {
      const { raw, config } = readConfig(path)
      await edge.reload(config, raw)
    }
    reload().then(
      () => log.info('configuration reloaded'),
      (error: unknown) => log.error({ err: error }, 'the new configuration is not taken over: the old one stays in force'),
    )
  })
  process.on('SIGUSR1', () => {
    edge.reopenLogs().catch((error: unknown) => log.error({ err: error }, 'access log'))
  })
}
