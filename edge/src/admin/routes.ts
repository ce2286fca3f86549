import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  type EdgeOrigins,
  type EdgeStatus,
  type PurgeAnswer,
  type PurgeRequest,
  purgeRequestSchema,
} from '@millrace/common/contracts/edge-api'
import { MillraceError, toProblem } from '@millrace/common/errors'
import { bearerMatches } from '@millrace/common/http/bearer'
import { refused } from '../refusal.js'
import { type BodyLimits, readJson } from './body.js'

export interface AdminRoutesOptions {
  /** Without one, what only tells is open to whoever reaches the address, and what changes something is closed to all. */
  token: string | undefined
  status: () => Promise<EdgeStatus>
  /** The configuration in force. Secrets hide themselves as JSON. */
  config: () => unknown
  origins: () => EdgeOrigins['origins'] | Promise<EdgeOrigins['origins']>
  /** Resolves when every worker has the purge. */
  purge: (request: PurgeRequest) => Promise<{ generation: number; workers: number }>
  /** Told of failures that are not the client's doing. */
  onError: (error: unknown) => void
  purgeTimeoutMs?: number
  body?: BodyLimits
}

const BODY_LIMITS: BodyLimits = { maxBytes: 64 * 1024, timeoutMs: 5000 }
const PURGE_TIMEOUT_MS = 5000
const API = '/v1/'

interface Endpoint {
  methods: readonly string[]
  /** Whether it is closed without a token. */
  changes: boolean
  answer: (request: IncomingMessage) => Promise<unknown>
}

/** The admin listener's routes beside metrics and health: GET /v1/status, /v1/config, /v1/origins; POST /v1/purge. Never rejects. */
export function adminRoutes(options: AdminRoutesOptions): (request: IncomingMessage, response: ServerResponse) => Promise<boolean> {
  const endpoints = endpointsOf(options)
  return async (request, response) => {
    const path = (request.url ?? '').split('?')[0]!
    if (!path.startsWith(API)) return false
    try {
      const endpoint = endpoints.get(path)
      if (!endpoint) throw refused(404, 'not-found', 'no such resource')
      if (!endpoint.methods.includes(request.method ?? '')) {
        response.setHeader('allow', endpoint.methods.join(', '))
        throw refused(405, 'method-not-allowed', `only ${endpoint.methods.join(', ')}`)
      }
      authorize(request, response, endpoint, options.token)
      send(response, 200, 'application/json', await endpoint.answer(request))
    } catch (error) {
      if (!(error instanceof MillraceError) || error.source !== 'client') options.onError(error)
      const { status, body } = toProblem(error)
      if (status === 503) response.setHeader('retry-after', '1')
      // A body that wasn't read to its end would be taken for the next request.
      if (!request.complete) response.setHeader('connection', 'close')
      send(response, status, 'application/problem+json', body)
    }
    return true
  }
}

function endpointsOf(options: AdminRoutesOptions): ReadonlyMap<string, Endpoint> {
  const telling = (answer: () => unknown): Endpoint => ({ methods: ['GET', 'HEAD'], changes: false, answer: async () => answer() })
  return new Map<string, Endpoint>([
    ['/v1/status', telling(options.status)],
    ['/v1/config', telling(options.config)],
    ['/v1/origins', telling(async (): Promise<EdgeOrigins> => ({ version: 1, origins: await options.origins() }))],
    ['/v1/purge', { methods: ['POST'], changes: true, answer: (request) => purge(request, options) }],
  ])
}

function authorize(request: IncomingMessage, response: ServerResponse, endpoint: Endpoint, token: string | undefined): void {
  if (token === undefined) {
    if (endpoint.changes) throw refused(403, 'admin-token-missing', 'this needs a token, and none is configured (admin.token)')
    return
  }
  if (bearerMatches(request.headers.authorization, token)) return
  response.setHeader('www-authenticate', 'Bearer')
  throw refused(401, 'unauthorized', 'a bearer token is needed')
}

async function purge(request: IncomingMessage, options: AdminRoutesOptions): Promise<PurgeAnswer> {
  const parsed = purgeRequestSchema.safeParse(await readJson(request, options.body ?? BODY_LIMITS))
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`)
    throw refused(400, 'bad-purge', problems.join('; ').slice(0, 1000))
  }
  const done = await inTime(options.purge(parsed.data), options.purgeTimeoutMs ?? PURGE_TIMEOUT_MS, options.onError)
  return { version: 1, generation: done.generation, workers: done.workers }
}

/** @throws MillraceError `purge-timeout` (503): it goes on all the same, and asking again is harmless. */
async function inTime<T>(running: Promise<T>, timeoutMs: number, onError: (error: unknown) => void): Promise<T> {
  let limit: NodeJS.Timeout | undefined
  let late = false
  const timeout = new Promise<never>((_resolve, reject) => {
    limit = setTimeout(() => {
      late = true
      const message = 'not every worker has confirmed the purge yet'
      reject(new MillraceError(message, { code: 'purge-timeout', source: 'internal', retryable: true, status: 503 }))
    }, timeoutMs)
  })
  running.catch((error: unknown) => {
    if (late) onError(error)
  })
  try {
    return await Promise.race([running, timeout])
  } finally {
    clearTimeout(limit)
  }
}

function send(response: ServerResponse, status: number, contentType: string, body: unknown): void {
  response.writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store' }).end(`${JSON.stringify(body)}\n`)
}
