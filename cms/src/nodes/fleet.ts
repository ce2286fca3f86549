import type { NodeList } from '@millrace/common/contracts/cms-api'
import type { Heartbeat } from '@millrace/common/contracts/events'
import { MillraceError } from '@millrace/common/errors'
import { call } from '@millrace/common/http/client'
import type { Logger } from '@millrace/common/log'
import type { Dispatcher } from 'undici'
import type { CmsConfig, EdgeConfig, OriginConfig } from '../config.js'
import type { OriginClient } from './origin-client.js'
import { type NodeHealth, Prober } from './probe.js'

export interface Fleet {
  origins: Prober<OriginConfig>
  edges: Prober<EdgeConfig>
}

/** Watches origins by their status, edges by their readyz. */
export function watchFleet(
  config: CmsConfig,
  deps: { client: OriginClient; dispatcher: Dispatcher; onOriginBack: () => void; log: Logger },
): Fleet {
  const { timeout, every } = config.probe
  return {
    origins: new Prober({
      nodes: config.origins,
      everyMs: every,
      ask: async (origin) => {
        const status = await deps.client.status(origin, timeout)
        if (status.id === origin.id) return
        // Two origins under one address would be taken for two replicas.
        throw new MillraceError(`answers as ${status.id}`, { code: 'wrong-origin', source: 'origin', retryable: false })
      },
      onFlip: (origin, { state, detail }) => {
        deps.log.info({ origin: origin.id, state, detail }, 'origin probed')
        if (state === 'healthy') deps.onOriginBack()
      },
    }),
    edges: new Prober({
      nodes: config.edges,
      everyMs: every,
      ask: (edge) => call(`${edge.adminUrl}/readyz`, { timeoutMs: timeout, dispatcher: deps.dispatcher }),
      onFlip: (edge, { state, detail }) => deps.log.info({ edge: edge.id, state, detail }, 'edge probed'),
    }),
  }
}

/** The fleet as the API shows it. */
export function nodeList(config: CmsConfig, fleet: Fleet, beats: Heartbeat[]): NodeList {
  const health = (prober: { health: (id: string) => NodeHealth }, id: string) => {
    const { state, detail } = prober.health(id)
    return { healthy: state === 'healthy', ...(detail && { detail }) }
  }
  return {
    origins: config.origins.map(({ id }) => ({ id, ...health(fleet.origins, id) })),
    edges: config.edges.map(({ id, url }) => ({ id, url, ...health(fleet.edges, id) })),
    transcoders: beats.map((beat) => ({ id: beat.transcoderId, at: beat.at })),
  }
}
