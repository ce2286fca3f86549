import { parseArgs } from 'node:util'
import { loadConfig } from '@millrace/common/config/load'
import { runService } from '@millrace/common/lifecycle'
import { createLogger } from '@millrace/common/log'
import { startEdge } from './app.js'
import { configSchema } from './config.js'

const USAGE = 'usage: main.js --config FILE\n'

const { values } = parseArgs({ options: { config: { type: 'string' }, help: { type: 'boolean' } } })
if (values.help) {
  process.stdout.write(USAGE)
} else if (!values.config) {
  process.stderr.write(USAGE)
  process.exitCode = 2
} else {
  await main(values.config)
}

async function main(path: string): Promise<void> {
  const starting = createLogger({ service: 'edge' })
  await runService(starting, async () => {
    const config = loadConfig(configSchema, path)
    const log = createLogger({ service: 'edge', id: config.id, level: config.log.level })
    const app = await startEdge(config, { log })
    log.info({ listen: app.address, admin: app.admin }, 'ready')
    return { phases: app.phases }
  })
}
