import { parseArgs } from 'node:util'
import { loadConfig } from '@millrace/common/config/load'
import { runService } from '@millrace/common/lifecycle'
import { createLogger } from '@millrace/common/log'
import { startApp } from './app.js'
import { configSchema } from './config.js'

const USAGE = 'usage: main.js --config FILE\n\nTakes jobs from the queue, encodes them with ffmpeg and brings the assets to the origins.\n'

const { values } = parseArgs({ options: { config: { type: 'string' }, help: { type: 'boolean', default: false } } })
if (values.help || !values.config) {
  process.stdout.write(USAGE)
  process.exit(values.help ? 0 : 2)
}

const path = values.config
let log = createLogger({ service: 'transcoder' })
await runService(log, async () => {
  const config = loadConfig(configSchema, path)
  log = createLogger({ service: 'transcoder', id: config.id, level: config.log.level })
  const app = await startApp(config, log)
  log.info({ admin: app.admin }, 'ready')
  return { phases: app.phases }
})
