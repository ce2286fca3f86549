import type { IncomingMessage } from 'node:http'
import { type MediaPath, parseMediaPath } from '@millrace/common/contracts/media-url'

/** Why a request is answered without looking for anything; `close` ends the connection after the answer. */
export interface Refusal {
  status: 400 | 404 | 405 | 414
  code: string
  title: string
  close?: boolean
}

const MAX_TARGET = 8192

/** What a request asks for, or why it gets nothing. Never throws, whatever the bytes. */
export function readRequest(request: Pick<IncomingMessage, 'method' | 'url' | 'headers' | 'rawHeaders'>): MediaPath | Refusal {
  if (count(request.rawHeaders, 'host') > 1) return bad('more than one Host')
  // A body on a GET is how requests are smuggled past a proxy that reads lengths differently (RFC 9112 §11.2).
  const length = request.headers['content-length']
  if (request.headers['transfer-encoding'] !== undefined || count(request.rawHeaders, 'content-length') > 1) return bad('a body')
  if (length !== undefined && length !== '0') return bad('a body')
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, code: 'method-not-allowed', title: 'only GET and HEAD' }
  }
  const target = request.url ?? ''
  if (target.length > MAX_TARGET) return { status: 414, code: 'uri-too-long', title: `the URL is longer than ${MAX_TARGET} bytes` }
  return parseMediaPath(pathOf(target)) ?? { status: 404, code: 'not-found', title: 'no such path' }
}

/** Origin-form and absolute-form (RFC 9112 §3.2: a server accepts both), without the query. */
function pathOf(target: string): string {
  const path = target.replace(/^https?:\/\/[^/?#]*/i, '')
  const end = path.search(/[?#]/)
  return end < 0 ? path : path.slice(0, end)
}

function count(rawHeaders: string[], name: string): number {
  let found = 0
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]!.toLowerCase() === name) found++
  return found
}

function bad(what: string): Refusal {
  return { status: 400, code: 'bad-request', title: `the request has ${what}`, close: true }
}
