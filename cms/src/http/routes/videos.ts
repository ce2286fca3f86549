import { Readable } from 'node:stream'
import { createVideoSchema, VIDEO_STATES, type Video, videoPageSchema, videoSchema } from '@millrace/common/contracts/cms-api'
import { videoIdSchema } from '@millrace/common/contracts/ids'
import { playbackSchema } from '@millrace/common/contracts/playback'
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { PlaybackService } from '../../playback/player.js'
import type { VideoService } from '../../videos/service.js'
import { clientError } from '../error-handler.js'

export interface VideoReader {
  find: (id: string) => Promise<Video | undefined>
  list: (filter: {
    state?: Video['state'] | undefined
    cursor?: string | undefined
    limit: number
  }) => Promise<z.infer<typeof videoPageSchema>>
}

export interface VideoRoutesOptions {
  videos: VideoService
  reader: VideoReader
  playback: PlaybackService
}

export const videoParams = z.object({ id: videoIdSchema })
const plainText = (max: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(max)
    .refine((text) => !/\p{Cc}/u.test(text), 'has control characters')
const createQuery = z.object({ filename: plainText(255).default('upload'), title: plainText(200).optional() })
const listQuery = z.object({
  state: z.enum(VIDEO_STATES).optional(),
  cursor: videoIdSchema.optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
})
/** As it will be sent: escapes may make a URL longer than it was written. */
const sourceUrl = createVideoSchema.shape.url.transform((url) => new URL(url).href).pipe(createVideoSchema.shape.url)
const createBody = createVideoSchema.extend({ url: sourceUrl, title: plainText(200).optional() })

/** /api/v1/videos: what people do with videos. */
export function videoRoutes(instance: FastifyInstance, { videos, reader, playback }: VideoRoutesOptions): void {
  const app = instance.withTypeProvider<ZodTypeProvider>()
  const tags = ['videos']

  app.post(
    '/videos',
    {
      schema: {
        tags,
        summary: 'Create a video',
        description: 'From a URL (JSON), or from a file: the body is the file itself, its name and title are in the query.',
        querystring: createQuery,
        response: { 201: videoSchema },
      },
    },
    async (request, reply) => {
      const { filename, title } = request.query
      if (request.body instanceof Readable) {
        const declared = request.headers['content-length']
        const bytes = declared === undefined ? undefined : Number(declared)
        return reply.code(201).send(await videos.createFromUpload(request.body, { filename, title, bytes }))
      }
      const body = createBody.safeParse(request.body)
      if (!body.success) {
        const problems = body.error.issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`)
        throw clientError('invalid-request', problems.join('; ').slice(0, 2000), 400)
      }
      return reply.code(201).send(await videos.createFromUrl(body.data.url, body.data.title ?? title))
    },
  )

  app.get(
    '/videos',
    { schema: { tags, summary: 'List videos, newest first', querystring: listQuery, response: { 200: videoPageSchema } } },
    (request) => reader.list(request.query),
  )

  app.get(
    '/videos/:id',
    { schema: { tags, summary: 'Read a video', params: videoParams, response: { 200: videoSchema } } },
    async (request) => {
      const video = await reader.find(request.params.id)
      if (!video) throw clientError('unknown-video', `there is no video ${request.params.id}`, 404)
      return video
    },
  )

  app.post(
    '/videos/:id/retry',
    { schema: { tags, summary: 'Transcode again', params: videoParams, response: { 202: videoSchema } } },
    async (request, reply) => reply.code(202).send(await videos.retry(request.params.id)),
  )

  app.post(
    '/videos/:id/cancel',
    { schema: { tags, summary: 'Cancel the run', params: videoParams, response: { 202: videoSchema } } },
    async (request, reply) => reply.code(202).send(await videos.cancel(request.params.id)),
  )

  app.delete(
    '/videos/:id',
    { schema: { tags, summary: 'Delete a video', params: videoParams, response: { 202: videoSchema } } },
    async (request, reply) => reply.code(202).send(await videos.remove(request.params.id)),
  )

  app.get(
    '/videos/:id/playback',
    { schema: { tags: ['playback'], summary: 'Where to play a video from', params: videoParams, response: { 200: playbackSchema } } },
    (request) => playback.answer(request.params.id),
  )
}
