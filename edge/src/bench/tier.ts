import type { EdgeProcess } from '../harness/edge-process.js'
import { sumOf } from '../harness/metrics-text.js'

const SENT = 'millrace_edge_sent_bytes_total'

/**
 * By its own count, nearly all of what this edge has sent came from there. An edge that doesn't count by tier is believed.
 *
 * @throws when it didn't: the run has measured something else.
 */
export async function checkTier(edge: EdgeProcess, tier: 'ram' | 'disk'): Promise<void> {
  const text = await edge.admin('/metrics')
  if (!/_sent_bytes_total\{[^}]*tier=/.test(text)) return
  const share = sumOf(text, SENT, { name: 'tier', value: tier }) / sumOf(text, SENT)
  if (!(share > 0.99)) throw new Error(`only ${Math.round(100 * share)} % of what the edge sent came from ${tier}`)
}
