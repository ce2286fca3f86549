import { once } from 'node:events'
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { mediaClass } from '@millrace/common/contracts/media-url'
import { toProblem } from '@millrace/common/errors'
import { notModified } from '@millrace/common/http/conditional'
import { contentRange, ifRangeHolds, parseRange } from '@millrace/common/http/range'
import { type Body, openBody, readBody, sliceBody } from './body.js'
import { type Refusal, readRequest } from './request.js'
import { findResource, type Resource, type ResourceDeps } from './resource.js'

/** How a request ended; also the metric label. */
export const OUTCOMES = ['ok', 'not-modified', 'refused', 'not-found', 'aborted', 'cut', 'error'] as const
export type Outcome = (typeof OUTCOMES)[number]

export interface Answered {
  outcome: Outcome
  /** What was asked for; `other` where the path was none of ours. */
  mediaClass: ReturnType<typeof mediaClass> | 'other'
  error?: unknown
}

const IMMUTABLE = 'public, max-age=31536000, immutable'
/** A replica may arrive any moment: edges decide how long they believe this. */
const MISSING = 'public, max-age=1'

/** Answers one request of the data listener, body and all. Never throws; `gone` aborts when the connection ends. */
export async function answer(deps: ResourceDeps, request: IncomingMessage, response: ServerResponse, gone: AbortSignal): Promise<Answered> {
  const asked = readRequest(request)
  if ('status' in asked) {
    refuse(request, response, asked)
    return { outcome: asked.status === 404 ? 'not-found' : 'refused', mediaClass: 'other' }
  }
  const label = mediaClass(asked)
  try {
    const resource = await findResource(deps, asked)
    return { outcome: resource ? await send(request, response, resource, gone) : notFound(request, response), mediaClass: label }
  } catch (error) {
    // A disk that can't even say whether it was deleted: then this error is the answer.
    const deleted = !response.headersSent && !(await deps.reader.isLive(asked).catch(() => true))
    if (deleted) return { outcome: notFound(request, response), mediaClass: label }
    return { outcome: giveUp(request, response, error), mediaClass: label, error }
  }
}

async function send(request: IncomingMessage, response: ServerResponse, resource: Resource, gone: AbortSignal): Promise<Outcome> {
  const headers: OutgoingHttpHeaders = { etag: resource.etag, 'cache-control': IMMUTABLE, 'accept-ranges': 'bytes' }
  // RFC 9110 §13.2.2: If-None-Match first, then Range with its If-Range.
  if (notModified({ ifNoneMatch: request.headers['if-none-match'] }, resource)) {
    response.writeHead(304, headers).end()
    return 'not-modified'
  }
  headers['content-type'] = resource.contentType
  const wanted =
    request.method === 'GET' && ifRangeHolds(header(request, 'if-range'), { etag: resource.etag }) ? request.headers.range : undefined
  const verdict = parseRange(wanted, resource.length)
  if (verdict.kind === 'unsatisfiable') {
    const unsatisfiable = { 'content-range': contentRange(undefined, resource.length), 'cache-control': 'no-store' }
    problem(request, response, 416, 'range-not-satisfiable', 'the range is outside the body', unsatisfiable)
    return 'refused'
  }
  if (verdict.kind === 'part') {
    const { start, end } = verdict.range
    headers['content-range'] = contentRange(verdict.range, resource.length)
    headers['content-length'] = end - start + 1
    return sendBody(response, 206, headers, sliceBody(resource.body, start, end), gone)
  }
  headers['content-length'] = resource.length
  if (request.method === 'HEAD') {
    response.writeHead(200, headers).end()
    return 'ok'
  }
  return sendBody(response, 200, headers, resource.body, gone)
}

async function sendBody(
  response: ServerResponse,
  status: number,
  headers: OutgoingHttpHeaders,
  body: Body,
  gone: AbortSignal,
): Promise<Outcome> {
  if (!body.file) {
    response.writeHead(status, headers).end(body.head)
    return 'ok'
  }
  const file = await openBody(body)
  try {
    response.writeHead(status, headers)
    // Not stream.pipeline: an answer that waits behind another one on its connection has no socket, and never ends when that goes.
    for await (const chunk of readBody(body, file)) {
      if (!response.write(chunk) && !gone.aborted) await once(response, 'drain', { signal: gone })
      gone.throwIfAborted()
    }
    response.end()
    return 'ok'
  } catch (error) {
    if (gone.aborted) return 'aborted'
    throw error
  } finally {
    await file?.close()
  }
}

function notFound(request: IncomingMessage, response: ServerResponse): Outcome {
  refuse(request, response, { status: 404, code: 'not-found', title: 'not on this origin' })
  return 'not-found'
}

/** A body that can't be finished is cut with its connection: the client must see that it's short. */
function giveUp(request: IncomingMessage, response: ServerResponse, error: unknown): Outcome {
  if (response.headersSent) {
    response.destroy()
    return 'cut'
  }
  const { status, body } = toProblem(error)
  problem(request, response, Math.max(status, 500), String(body.code), String(body.title), { 'cache-control': 'no-store' })
  return 'error'
}

function refuse(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
  if (refusal.close) response.shouldKeepAlive = false
  problem(request, response, refusal.status, refusal.code, refusal.title, {
    'cache-control': refusal.status === 404 ? MISSING : 'no-store',
    ...(refusal.status === 405 && { allow: 'GET, HEAD' }),
  })
}

function problem(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  code: string,
  title: string,
  headers: OutgoingHttpHeaders,
): void {
  const text = `${JSON.stringify({ type: 'about:blank', title, status, code })}\n`
  response.writeHead(status, { ...headers, 'content-type': 'application/problem+json', 'content-length': Buffer.byteLength(text) })
  response.end(request.method === 'HEAD' ? undefined : text)
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}
