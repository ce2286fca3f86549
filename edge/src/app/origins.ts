import type { Logger } from '@millrace/common/log'
import type { Config } from '../config.js'
import type { OriginMetrics } from '../metrics/edge-metrics.js'
import { Origins } from '../origin/origins.js'

/** This process's origins, with their metrics. The keeper asks for fills; each worker for what passes by the cache. */
export function buildOrigins(
  config: Config,
  dependencies: { metrics: OriginMetrics; log: Logger; now: () => number; random: () => number },
): Origins {
  const { metrics, log, now, random } = dependencies
  const { id, origins, fetch, health } = config
  return new Origins(
    { edgeId: id, origins, fetch, health, now, random },
    {
      onAttempt: ({ origin, outcome }, ms) => {
        metrics.attempts.inc({ origin, outcome })
        metrics.attemptSeconds.observe({ origin }, ms / 1000)
      },
      onHealth: (origin, up) => log.warn({ origin }, up ? 'origin answers again' : 'origin fails: it is asked last'),
      onHedge: (outcome) => metrics.hedges.inc({ outcome }),
      onContinued: (outcome) => metrics.continued.inc({ outcome }),
      onBudgetSpent: () => metrics.retryBudgetSpent.inc(),
    },
  )
}

/** The settings of a worker's own origins: the keeper probes, and what is allowed of retries beside their ratio is for all workers together. */
export function passingBy(config: Config): Config {
  const { health, fetch, workers } = config
  const { ratio, minPerSecond, burst } = fetch.retryBudget
  const retryBudget = { ratio, minPerSecond: minPerSecond / workers, burst: burst / workers }
  return { ...config, health: { ...health, probe: false }, fetch: { ...fetch, retryBudget } }
}
