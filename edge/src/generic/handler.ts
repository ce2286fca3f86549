import type { HeaderField } from '../cache/entry-meta.js'
import type { Exchange } from '../http/exchange.js'
import { head } from '../http/head.js'
import type { Trace } from '../origin/trace.js'
import type { Decision } from '../phase.js'
import { refused } from '../refusal.js'
import type { GenericPath } from './config.js'
import type { GenericDependencies } from './contract.js'
import { Direct } from './direct.js'
import { decisionFields } from './head.js'
import { Lookup } from './lookup.js'
import { plan } from './plan.js'

/**
 * Answers one request of a generic path (RFC 9111 as a shared cache, RFC 9110 §7.6 as a gateway).
 *
 * @throws MillraceError what the edge answers by itself: refusals, `origin-…` when no answer is to be had, `body-broken`
 */
export async function handleGeneric(
  exchange: Exchange,
  fields: readonly HeaderField[],
  path: GenericPath,
  dependencies: GenericDependencies,
  trace?: Trace,
): Promise<Decision> {
  const planned = plan({ method: exchange.method, path: exchange.path, query: exchange.query, fields }, path.prefix, dependencies.edgeId)
  const abort = new AbortController()
  exchange.onAborted(() => abort.abort())
  const run = { exchange, fields, path, deps: dependencies, trace, signal: abort.signal }
  switch (planned.kind) {
    case 'refuse':
      throw refused(planned.status, planned.code, planned.message)
    case 'options': {
      const decision: Decision = { phase: 'refused', class: 'generic', tier: 'edge' }
      exchange.decision = decision
      exchange.answerHead(head(204, decisionFields({ edgeId: dependencies.edgeId, decision })))
      return decision
    }
    case 'forward':
      return new Direct(run).forward(planned.target, planned.fields, { fwd: planned.why, unsafe: planned.unsafe, hasBody: planned.hasBody })
    case 'lookup':
      return new Lookup(run, planned).answer()
  }
}
