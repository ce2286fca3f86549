import type { Secret } from '@millrace/common/config/units'
import { bearerMatches } from '@millrace/common/http/bearer'
import type { FastifyRequest } from 'fastify'
import { clientError } from './error-handler.js'

type Guard = (request: FastifyRequest) => Promise<void>

/** @throws MillraceError `unauthorized` (401) */
export function bearerGuard(token: Secret): Guard {
  return async (request) => {
    if (!bearerMatches(request.headers.authorization, token.reveal()))
      throw clientError('unauthorized', 'a valid bearer token is needed', 401)
  }
}

/**
 * A CMS without a token trusts its machine, so it must not be talked to by web pages from elsewhere: neither by a name that was made
 * to resolve to loopback (DNS rebinding) or that a proxy publishes, nor by a form or fetch of another site.
 *
 * @throws MillraceError `wrong-host` (403), `cross-origin` (403)
 */
export const localGuard: Guard = async (request) => {
  const host = request.headers.host ?? ''
  if (!/^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(host)) {
    throw clientError('wrong-host', `without an API token this service is its own machine's only, not ${host.slice(0, 100)}`, 403)
  }
  const { origin } = request.headers
  if (origin !== undefined && request.method !== 'GET' && hostOf(origin) !== host) {
    throw clientError('cross-origin', 'changes are taken from this site only', 403)
  }
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}
