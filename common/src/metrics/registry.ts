import { collectDefaultMetrics, Registry } from 'prom-client'

/** A tier's own registry, never the global one, with the process metrics. */
export function createRegistry(labels: { service: string; id: string }): Registry {
  const registry = new Registry()
  registry.setDefaultLabels(labels)
  collectDefaultMetrics({ register: registry })
  return registry
}
