import { MPD, MULTIVARIANT_PLAYLIST } from '@millrace/common/contracts/asset'
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { PlaybackService } from '../../playback/player.js'
import { videoParams } from './videos.js'

/** Players may be anywhere; manifests change with the health of edges, so they are kept for seconds only. */
const MANIFEST_HEADERS = { 'access-control-allow-origin': '*', 'cache-control': 'public, max-age=2' }

/**
 * What players report (RFC 8216bis, 7.2; ETSI TS 103 998). dash.js quotes its values. Nothing is decided by them yet, and players may
 * send more than these.
 */
const steeringQuery = z.looseObject({
  _HLS_pathway: z.string().max(200).optional(),
  _HLS_throughput: z.string().max(40).optional(),
  _DASH_pathway: z.string().max(2000).optional(),
  _DASH_throughput: z.string().max(2000).optional(),
})

/** /play: steered manifests, open to every player. */
export function playRoutes(instance: FastifyInstance, playback: PlaybackService): void {
  const app = instance.withTypeProvider<ZodTypeProvider>()
  // Before validation, so that a player's page can read errors too.
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('access-control-allow-origin', '*')
  })
  const schema = { tags: ['playback'], params: videoParams, security: [] }

  app.get(
    `/play/:id/${MULTIVARIANT_PLAYLIST}`,
    { schema: { ...schema, summary: 'HLS multivariant playlist with an edge per pathway' } },
    async (request, reply) => {
      const text = await playback.hls(request.params.id)
      return reply.headers(MANIFEST_HEADERS).type('application/vnd.apple.mpegurl').send(text)
    },
  )
  app.get(`/play/:id/${MPD}`, { schema: { ...schema, summary: 'DASH MPD with an edge per service location' } }, async (request, reply) => {
    const text = await playback.dash(request.params.id)
    return reply.headers(MANIFEST_HEADERS).type('application/dash+xml').send(text)
  })
  app.get(
    '/play/:id/steering',
    { schema: { ...schema, summary: 'Content steering: edges in order, dead ones left out', querystring: steeringQuery } },
    async (request, reply) => reply.type('application/json').send(JSON.stringify(await playback.steering(request.params.id))),
  )
}
