import { VERSION } from '@millrace/common/version'
import type { HeaderField } from '../cache/entry-meta.js'
import { endToEnd } from '../http/fields.js'
import type { OriginRequest } from './contract.js'

/**
 * W3C Trace Context §3.2.2: version, trace-id, parent-id, flags; an all-zero id and version ff are invalid. A later version may have more
 * after the flags; that is not passed on.
 */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/

export function isTraceparent(value: string): boolean {
  return TRACEPARENT.test(value)
}

/**
 * What is sent to an origin: in media mode the same for every viewer; in generic mode the client's own end-to-end fields. Host is not among
 * them: it is the origin's authority, written by the HTTP client. Nor is Expect: this edge has the body already, or can do without.
 */
export function requestFields(request: OriginRequest, edgeId: string): HeaderField[] {
  const given = endToEnd(request.headers ?? []).filter(([name]) => name !== 'host' && name !== 'expect')
  // RFC 9110 §7.6.3: "an intermediary MUST send an appropriate Via header field […] in each message that it forwards".
  const via = [...given.filter(([name]) => name === 'via').map(([, value]) => value), `1.1 ${edgeId}`].join(', ')
  const own: HeaderField[] = [['via', via]]
  if (request.mode === 'media') own.push(['accept-encoding', 'identity'], ['user-agent', `millrace-edge/${VERSION}`])
  if (request.trace) {
    const { requestId, traceparent } = request.trace
    if (REQUEST_ID.test(requestId)) own.push(['x-request-id', requestId])
    if (traceparent !== undefined && isTraceparent(traceparent)) own.push(['traceparent', traceparent])
  }
  const replaced = new Set(own.map(([name]) => name))
  // What the client gave of these is in the trace already, unless it was no good.
  if (request.trace) for (const name of ['x-request-id', 'traceparent']) replaced.add(name)
  // A length without a body would keep the origin waiting for one.
  if (!request.body) replaced.add('content-length')
  return [...given.filter(([name]) => !replaced.has(name)), ...own]
}

/** Whether a request's Via says that it has been through this edge already (RFC 9110 §7.6.3: received-protocol RWS received-by). */
export function viaNames(value: string | undefined, edgeId: string): boolean {
  if (value === undefined) return false
  return value.split(',').some(
    (member) =>
      member
        .trim()
        .split(/[ \t]+/)[1]
        ?.toLowerCase() === edgeId.toLowerCase(),
  )
}
