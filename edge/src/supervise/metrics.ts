import { Counter, Gauge, type Registry } from 'prom-client'
import { RESTART_REASONS, type RestartReason } from './child-slot.js'
import { ROLES, type Role } from './start-message.js'

/** The supervisor's own metrics. */
export function supervisorMetrics(registry: Registry, ready: (role: Role) => number) {
  const registers = [registry]
  const restarts = new Counter<'role' | 'reason'>({
    name: 'millrace_edge_child_restarts_total',
    help: 'Processes of the edge that were replaced: it died, hung, was late to confirm a purge, or an operator asked.',
    labelNames: ['role', 'reason'],
    registers,
  })
  for (const role of ROLES) for (const reason of RESTART_REASONS) restarts.inc({ role, reason }, 0)
  new Gauge<'role'>({
    name: 'millrace_edge_children_ready',
    help: 'Processes of the edge that do their work.',
    labelNames: ['role'],
    registers,
    collect() {
      for (const role of ROLES) this.set({ role }, ready(role))
    },
  })
  return { restarted: (role: Role, reason: RestartReason) => restarts.inc({ role, reason }) }
}
