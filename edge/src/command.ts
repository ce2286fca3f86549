import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { MillraceError } from '@millrace/common/errors'
import { runService } from '@millrace/common/lifecycle'
import { createLogger } from '@millrace/common/log'
import { startCluster } from './app/cluster.js'
import { readConfig } from './app/config-file.js'
import { onSignals } from './app/signals.js'
import { startEdge } from './app/single.js'
import { fsckCommand } from './cache/fsck-command.js'

const USAGE = `usage: millrace-edge --config FILE                     serve
       millrace-edge check-config --config FILE        say what is wrong with a configuration, and change nothing
       millrace-edge fsck --config FILE [--repair] [--json]
                                                       check every stored object; the edge must not be running
Signals: SIGTERM stop after running transfers; SIGHUP take over a changed configuration (origins, keys, limits, certificate);
         SIGUSR1 open the access log anew.
`

const given = commandLine()
const [command = 'serve', ...rest] = given?.positionals ?? []
const { config: path, help, repair = false, json = false } = given?.values ?? {}
if (help) {
  process.stdout.write(USAGE)
} else if (path === undefined || rest.length > 0 || !['serve', 'check-config', 'fsck'].includes(command)) {
  process.stderr.write(USAGE)
  process.exitCode = 2
} else if (command === 'serve') await serve(path)
else if (command === 'check-config') checkConfig(path)
else await checkCache(path)

/** @returns undefined for options that are none, which it tells */
function commandLine() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { config: { type: 'string' }, help: { type: 'boolean' }, repair: { type: 'boolean' }, json: { type: 'boolean' } },
    })
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    return undefined
  }
}

async function serve(path: string): Promise<void> {
  const early = createLogger({ service: 'edge' })
  await runService(early, async () => {
    const read = readConfig(path)
    const { config } = read
    const log = createLogger({ service: 'edge', id: config.id, level: config.log.level })
    const starting =
      config.workers === 1
        ? startEdge(config, { log })
        : startCluster(read, { log, entry: fileURLToPath(new URL('child-main.js', import.meta.url)) })
    onSignals(starting, read, path, log)
    const edge = await starting
    log.info({ listen: edge.address, admin: edge.admin, workers: config.workers }, 'ready')
    return { phases: edge.phases }
  })
}

function checkConfig(path: string): void {
  try {
    readConfig(path)
    process.stdout.write(`${path} is a good configuration\n`)
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exitCode = 1
  }
}

async function checkCache(path: string): Promise<void> {
  try {
    process.exitCode = await fsckCommand(readConfig(path).config, { repair, json })
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exitCode = error instanceof MillraceError && error.code === 'cache-in-use' ? 3 : 1
  }
}
