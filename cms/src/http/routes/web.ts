import { createRequire } from 'node:module'
import { basename, dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'

const WEB_FOLDER = fileURLToPath(new URL('../../../web/', import.meta.url))

/** The page for people, and the two players that it uses, from their packages. */
export async function webRoutes(app: FastifyInstance): Promise<void> {
  const { resolve } = createRequire(import.meta.url)
  await app.register(fastifyStatic, { root: WEB_FOLDER, cacheControl: false, serveDotFiles: false })
  for (const player of [resolve('hls.js/dist/hls.min.js'), resolve('dashjs')]) {
    app.get(`/assets/${basename(player)}`, { schema: { hide: true } }, (_request, reply) =>
      reply.header('cache-control', 'public, max-age=3600').sendFile(basename(player), dirname(player)),
    )
  }
}
