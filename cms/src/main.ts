import { parseArgs } from 'node:util'
import { loadConfig } from '@millrace/common/config/load'
import { runService } from '@millrace/common/lifecycle'
import { createLogger } from '@millrace/common/log'
import { startCms } from './app.js'
import { configSchema } from './config.js'

const USAGE = `Millrace CMS: the truth about videos, jobs, replicas and playback.

usage: node dist/main.js --config FILE

  --config FILE   YAML configuration
  --help          this text
`

const { values } = parseArgs({ options: { config: { type: 'string' }, help: { type: 'boolean' } } })
if (values.help || !values.config) {
  process.stdout.write(USAGE)
  process.exit(values.help ? 0 : 2)
}
const path = values.config
await runService(createLogger({ service: 'cms' }), async () => {
  const config = loadConfig(configSchema, path)
  const log = createLogger({ service: 'cms', id: config.id, level: config.log.level })
  const app = await startCms(config, log, (error) => {
    log.fatal({ err: error }, 'cannot go on')
    process.exit(1)
  })
  log.info({ url: app.url, listen: app.address, admin: app.adminAddress }, 'ready')
  return app
})
