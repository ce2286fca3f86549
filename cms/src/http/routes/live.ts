import { type NodeList, nodeListSchema } from '@millrace/common/contracts/cms-api'
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { EventFeed } from '../../events/feed.js'

/** /api/v1/events and /api/v1/nodes: what goes on now. */
export function liveRoutes(instance: FastifyInstance, options: { feed: EventFeed; nodes: () => Promise<NodeList> }): void {
  const app = instance.withTypeProvider<ZodTypeProvider>()
  app.get(
    '/events',
    {
      exposeHeadRoute: false,
      schema: { tags: ['live'], summary: 'Changes as they happen', description: 'text/event-stream of `video` and `progress` events.' },
    },
    async (_request, reply) => {
      options.feed.add(reply.raw)
      reply.hijack()
    },
  )
  app.get('/nodes', { schema: { tags: ['live'], summary: 'The fleet', response: { 200: nodeListSchema } } }, () => options.nodes())
}
