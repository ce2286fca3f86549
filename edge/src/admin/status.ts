import type { IncomingMessage, ServerResponse } from 'node:http'
import type { EdgeStatus } from '@millrace/common/contracts/edge-api'
import { toProblem } from '@millrace/common/errors'
import { bearerMatches } from '@millrace/common/http/bearer'
import { refused } from '../refusal.js'

/** The admin listener's routes beside metrics and health: GET /v1/status. */
export function adminRoutes(options: {
  token: string | undefined
  status: () => Promise<EdgeStatus>
}): (request: IncomingMessage, response: ServerResponse) => Promise<boolean> {
  return async (request, response) => {
    if ((request.url ?? '').split('?')[0] !== '/v1/status' || request.method !== 'GET') return false
    if (options.token !== undefined && !bearerMatches(request.headers.authorization, options.token)) {
      const { status, body } = toProblem(refused(401, 'unauthorized', 'a bearer token is needed'))
      response.writeHead(status, { 'content-type': 'application/problem+json', 'www-authenticate': 'Bearer' })
      response.end(`${JSON.stringify(body)}\n`)
      return true
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify(await options.status())}\n`)
    return true
  }
}
