import { revSchema, videoIdSchema } from '@millrace/common/contracts/ids'
import {
  assetDetailSchema,
  assetPageSchema,
  commitRequestSchema,
  operationSchema,
  pullRequestSchema,
  videoHoldingsSchema,
} from '@millrace/common/contracts/origin-api'
import { z } from 'zod'
import type { Routes } from './deps.js'

const refSchema = z.object({ videoId: videoIdSchema, rev: revSchema })
const pageSchema = z.object({
  cursor: z
    .string()
    .regex(/^[0-9a-z]{26}\/r[1-9][0-9]{0,8}$/, 'is not the `next` of a page')
    .optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
})

/** A daemon's address and nothing else: account, path and options are ours to say. */
const siblingPullSchema = pullRequestSchema.refine(({ from }) => {
  const url = new URL(from.rsyncUrl)
  return url.username === '' && url.password === '' && url.search === '' && url.hash === '' && /^\/?$/.test(url.pathname) && url.host !== ''
}, 'from.rsyncUrl is not of the form rsync://host:port')

/** Commit, pull, list, read and delete. */
export const assetRoutes: Routes =
  ({ store }) =>
  async (app) => {
    app.post(
      '/v1/assets/:videoId/:rev/commit',
      { schema: { params: refSchema, body: commitRequestSchema, response: { 202: operationSchema } } },
      async (request, reply) => reply.code(202).send(await store.commit(request.params, request.body.assetSha256)),
    )
    app.post(
      '/v1/assets/:videoId/:rev/pull',
      { schema: { params: refSchema, body: siblingPullSchema, response: { 202: operationSchema } } },
      async (request, reply) => reply.code(202).send(await store.pull(request.params, request.body)),
    )
    app.get('/v1/assets', { schema: { querystring: pageSchema, response: { 200: assetPageSchema } } }, (request) =>
      store.list(request.query.cursor, request.query.limit),
    )
    app.get(
      '/v1/videos/:videoId',
      { schema: { params: refSchema.pick({ videoId: true }), response: { 200: videoHoldingsSchema } } },
      (request) => store.ofVideo(request.params.videoId),
    )
    app.get('/v1/assets/:videoId/:rev', { schema: { params: refSchema, response: { 200: assetDetailSchema } } }, (request) =>
      store.detail(request.params),
    )
    app.delete('/v1/assets/:videoId/:rev', { schema: { params: refSchema } }, async (request, reply) => {
      await store.remove(request.params)
      return reply.code(204).send()
    })
  }
