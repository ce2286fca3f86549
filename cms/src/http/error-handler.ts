import { MillraceError, toProblem } from '@millrace/common/errors'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'

const PROBLEM = 'application/problem+json'

/** Every error is a problem document (RFC 9457) with a stable code; what is our own fault is logged whole and told in general. */
export function handleErrors(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError, request, reply) => sendError(error, request, reply))
  app.setNotFoundHandler((request, reply) =>
    sendError(clientError('not-found', `nothing is at ${request.method} ${request.url.split('?')[0]?.slice(0, 200)}`, 404), request, reply),
  )
}

export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = toProblem(asClientError(error))
  if (problem.status >= 500) request.log.error({ err: error }, 'request failed')
  // A body that was refused half-way is not read to its end: the connection goes with it.
  if (!request.raw.complete) reply.header('connection', 'close')
  if (problem.status === 503) reply.header('retry-after', '2')
  return reply.code(problem.status).type(PROBLEM).serializer(JSON.stringify).send(problem.body)
}

/** Fastify's own 4xx and schema errors as ours; all else as it is. */
function asClientError(error: unknown): unknown {
  if (error instanceof MillraceError) return error
  if (hasZodFastifySchemaValidationErrors(error)) {
    const issues = error.validation.map((issue) => `${issue.instancePath.slice(1) || error.validationContext}: ${issue.message}`)
    return clientError('invalid-request', issues.join('; ').slice(0, 2000), 400)
  }
  const { statusCode, code, message } = error as Partial<FastifyError>
  if (statusCode === undefined || statusCode < 400 || statusCode >= 500) return error
  return clientError(CODES[code ?? ''] ?? 'invalid-request', message ?? 'invalid request', statusCode)
}

const CODES: Record<string, string> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported-media-type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body-too-large',
  FST_ERR_BAD_URL: 'bad-url',
  FST_ERR_MAX_PARAM_LENGTH: 'bad-url',
}

export function clientError(code: string, message: string, status: number): MillraceError {
  return new MillraceError(message, { code, source: 'client', retryable: false, status })
}
