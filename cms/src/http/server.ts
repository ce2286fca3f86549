import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { createVideoSchema } from '@millrace/common/contracts/cms-api'
import type { Logger } from '@millrace/common/log'
import { VERSION } from '@millrace/common/version'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import { jsonSchemaTransform, serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { handleErrors, sendError } from './error-handler.js'

export type App = FastifyInstance

export interface ServerOptions {
  log: Logger
  /** Origins that the page may fetch media from; known once the service listens. */
  mediaOrigins: () => string[]
  onResponse: (seen: { method: string; route: string; status: number; seconds: number }) => void
}

/** Upload and JSON bodies differ: files have their own limit, all else is small. */
const MAX_JSON_BYTES = 64 * 1024
/** A client that neither sends nor reads for this long is cut off, uploads in progress included. */
const SILENCE_MS = 60_000

/** The public listener with what holds for every route: schemas, errors, security headers, documentation. */
export async function createServer({ log, mediaOrigins, onResponse }: ServerOptions): Promise<App> {
  const app = Fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_JSON_BYTES,
    connectionTimeout: SILENCE_MS,
    routerOptions: { maxParamLength: 64 },
    forceCloseConnections: 'idle',
    exposeHeadRoutes: true,
    frameworkErrors: (error, request, reply) => {
      sendError(error, request, reply)
    },
  }).withTypeProvider<ZodTypeProvider>()
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  handleErrors(app)
  // A file, as it is: the body is the stream.
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload))
  app.removeContentTypeParser('text/plain')

  app.addHook('onRequest', async (_request, reply) => {
    reply.headers({
      'content-security-policy': contentSecurityPolicy(mediaOrigins()),
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    })
  })
  app.addHook('onResponse', async (request, reply) => {
    onResponse({
      method: request.method,
      route: request.routeOptions.url ?? 'unknown',
      status: reply.statusCode,
      seconds: reply.elapsedTime / 1000,
    })
  })

  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Millrace CMS', version: VERSION, description: 'Videos, their jobs and replicas, and how to play them.' },
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
      security: [{ bearer: [] }],
    },
    transform: (document) => {
      const transformed = jsonSchemaTransform(document as Parameters<typeof jsonSchemaTransform>[0])
      return document.url === '/api/v1/videos' && document.route.method === 'POST'
        ? { ...transformed, schema: { ...transformed.schema, body: CREATE_BODIES } }
        : transformed
    },
  })
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true })
  return app as unknown as App
}

/** The two bodies of POST /api/v1/videos, which one zod schema can't tell. */
const CREATE_BODIES = {
  content: {
    'application/json': { schema: z.toJSONSchema(createVideoSchema, { target: 'openapi-3.0', unrepresentable: 'any' }) },
    'application/octet-stream': { schema: { type: 'string', format: 'binary' } },
  },
}

/** Everything from here, media from the edges; no inline scripts or styles, no frames. hls.js runs its worker from a blob and makes empty data: tracks. */
function contentSecurityPolicy(mediaOrigins: string[]): string {
  const media = mediaOrigins.join(' ')
  return [
    "default-src 'self'",
    `connect-src 'self' ${media}`,
    `media-src 'self' blob: data: ${media}`,
    `img-src 'self' data: ${media}`,
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "form-action 'self'",
  ].join('; ')
}
