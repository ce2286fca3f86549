import { parseConfig } from '@millrace/common/config/load'
import { expect, it } from 'vitest'
import { configSchema } from '../config.js'
import { passingBy } from './origins.js'

it('workers share the floor of the retry budget, so that more of them are no heavier on a failing origin, and leave probes to the keeper', () => {
  const config = parseConfig(configSchema, {
    id: 'e1',
    listen: '127.0.0.1:0',
    admin: { listen: '127.0.0.1:0' },
    cache: { path: '/cache', size: '1GiB' },
    origins: [{ id: 'o1', url: 'http://a' }],
    workers: 4,
    fetch: { retryBudget: { ratio: 0.3, minPerSecond: 10, burst: 100 } },
  })
  const { fetch, health } = passingBy(config)
  expect([fetch.retryBudget, health.probe, fetch.maxFills]).toEqual([
    { ratio: 0.3, minPerSecond: 2.5, burst: 25 },
    false,
    config.fetch.maxFills,
  ])
})
