import { parseArgs } from 'node:util'
import { loadConfig } from '@millrace/common/config/load'
import { runService } from '@millrace/common/lifecycle'
import { createLogger } from '@millrace/common/log'
import { startApp } from './app.js'
import { choosePackager } from './choose-packager.js'
import { configSchema } from './config.js'

const USAGE = 'usage: node dist/main.js --config FILE'

const { values } = parseArgs({ options: { config: { type: 'string' }, help: { type: 'boolean' } } })
if (values.help || values.config === undefined) {
  console.log(USAGE)
  process.exit(values.help ? 0 : 2)
}

const early = createLogger({ service: 'origin' })
await runService(early, async () => {
  const config = loadConfig(configSchema, values.config!)
  const log = createLogger({ service: 'origin', id: config.id, level: config.log.level })
  const { addresses, phases } = await startApp(config, { log, packager: choosePackager(config, log) })
  log.info(addresses, 'ready')
  return { phases }
})
