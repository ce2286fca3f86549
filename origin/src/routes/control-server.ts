import { MillraceError, toProblem } from '@millrace/common/errors'
import { bearerMatches } from '@millrace/common/http/bearer'
import type { Logger } from '@millrace/common/log'
import fastify, { type FastifyError, type FastifyReply } from 'fastify'
import { hasZodFastifySchemaValidationErrors, serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import { assetRoutes } from './assets.js'
import type { RouteDeps } from './deps.js'
import { operationRoutes } from './operations.js'
import { statusRoutes } from './status.js'

const BODY_LIMIT = 64 * 1024

/** The control API (contract: common/contracts/origin-api), not listening yet. Every path wants the bearer token, unknown ones too. */
export function buildControlServer(deps: RouteDeps & { token: string; log: Logger }) {
  const app = fastify({
    bodyLimit: BODY_LIMIT,
    requestTimeout: 30_000,
    forceCloseConnections: true,
    // URLs that the router can't read never reach the hooks and the error handler below.
    frameworkErrors: (error, _request, reply) => sendProblem(reply, asMillraceError(error)),
  }).withTypeProvider<ZodTypeProvider>()
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.addHook('onRequest', async (request) => {
    if (!bearerMatches(request.headers.authorization, deps.token)) throw unauthorized()
  })
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const known = asMillraceError(error)
    if (known.status >= 500) deps.log.error({ err: error, method: request.method, path: request.url }, 'control request failed')
    return sendProblem(reply, known)
  })
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, notFound()))
  app.register(assetRoutes(deps))
  app.register(operationRoutes(deps))
  app.register(statusRoutes(deps))
  return app
}

function sendProblem(reply: FastifyReply, error: unknown) {
  const { status, body } = toProblem(error)
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  return reply.code(status).type('application/problem+json').send(JSON.stringify(body))
}

function asMillraceError(error: FastifyError): MillraceError {
  if (error instanceof MillraceError) return error
  if (hasZodFastifySchemaValidationErrors(error)) {
    const where = error.validationContext ?? 'request'
    const detail = error.validation.map((issue) => `${where}${issue.instancePath.replaceAll('/', '.')}: ${issue.message}`).join('\n')
    return invalid(`the ${where} is not as the contract says`, 400, detail)
  }
  // fastify's own: broken JSON, wrong media type, too large.
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) return invalid(error.message, error.statusCode)
  return new MillraceError('internal error', { code: 'internal', source: 'internal', retryable: true, cause: error })
}

function invalid(message: string, status: number, detail?: string): MillraceError {
  return new MillraceError(message, { code: 'invalid-request', source: 'client', retryable: false, status, ...(detail && { detail }) })
}

function unauthorized(): MillraceError {
  return new MillraceError('a valid bearer token is needed', { code: 'unauthorized', source: 'client', retryable: false, status: 401 })
}

function notFound(): MillraceError {
  return new MillraceError('no such path', { code: 'not-found', source: 'client', retryable: false, status: 404 })
}
