import { createReadStream } from 'node:fs'
import { contentRange, ifRangeHolds, parseRange } from '@millrace/common/http/range'
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { Source } from '../../db/schema.js'
import { clientError } from '../error-handler.js'
import { videoParams } from './videos.js'

export interface SourceRoutesOptions {
  findSource: (videoId: string) => Promise<Source | undefined>
  pathOf: (videoId: string) => string
}

/** /internal/v1/sources: stored sources for transcoders, resumable by ranges; the ETag is the sha256 of the bytes. */
export function sourceRoutes(instance: FastifyInstance, { findSource, pathOf }: SourceRoutesOptions): void {
  const app = instance.withTypeProvider<ZodTypeProvider>()
  const schema = { params: videoParams, hide: true }
  // HEAD is ours: the one that fastify derives reads the whole file to throw it away.
  app.route({
    method: ['GET', 'HEAD'],
    url: '/internal/v1/sources/:id',
    schema,
    exposeHeadRoute: false,
    handler: async (request, reply) => {
      const { id } = request.params
      const source = await findSource(id)
      if (source?.kind !== 'stored') throw clientError('unknown-source', `no stored source of ${id}`, 404)
      const etag = `"${source.sha256}"`
      reply.headers({ etag, 'accept-ranges': 'bytes', 'content-type': 'application/octet-stream' })
      const { range, 'if-range': ifRange } = request.headers
      // RFC 9110 §14.2: Range counts with GET only.
      const asked = request.method === 'GET' && ifRangeHolds(ifRange as string | undefined, { etag }) ? range : undefined
      const verdict = parseRange(asked, source.bytes)
      if (verdict.kind === 'unsatisfiable') {
        reply.header('content-range', contentRange(undefined, source.bytes))
        throw clientError('range-not-satisfiable', `the source has ${source.bytes} bytes`, 416)
      }
      const { start, end } = verdict.kind === 'part' ? verdict.range : { start: 0, end: source.bytes - 1 }
      if (verdict.kind === 'part') reply.code(206).header('content-range', contentRange(verdict.range, source.bytes))
      reply.header('content-length', end - start + 1)
      if (request.method === 'HEAD') return reply.send()
      return reply.send(createReadStream(pathOf(id), { start, end }))
    },
  })
}
