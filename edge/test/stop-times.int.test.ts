import { parseConfig } from '@millrace/common/config/load'
import { createLogger } from '@millrace/common/log'
import { createRegistry } from '@millrace/common/metrics/registry'
import { expect, it } from 'vitest'
import { startKeeping } from '../src/app/keeping.js'
import { configSchema } from '../src/config.js'
import { diskFaultMetrics } from '../src/metrics/edge-metrics.js'
import { STOP_SLACK_MS } from '../src/supervise/supervisor.js'
import { edgeConfig, tempFolder } from './edge.js'

it('a keeper is not killed while its phases may still run: the order of use is written in the last one', async () => {
  const folder = await tempFolder()
  const registry = createRegistry({ service: 'edge', id: 'e1' })
  const { phases } = await startKeeping({
    config: parseConfig(configSchema, edgeConfig(folder.path, [{ url: 'http://127.0.0.1:9' }])),
    registry,
    faults: diskFaultMetrics(registry),
    log: createLogger({ service: 'edge', level: 'silent' }),
    listener: { gone: () => undefined, disksOut: () => undefined, reset: () => undefined },
    serves: false,
    now: Date.now,
    random: Math.random,
  })
  for (const phase of phases) await phase.run()
  await folder.remove()
  // Its socket has one more.
  expect(phases.reduce((sum, { timeoutMs }) => sum + timeoutMs, 1000)).toBeLessThan(STOP_SLACK_MS)
})
