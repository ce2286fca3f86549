import type { HeaderField } from '../cache/entry-meta.js'
import { type RequestDirectives, requestDirectives } from '../cache/serving.js'
import { endToEnd, fieldValue, viaNames } from '../http/fields.js'
import { targetProblem } from './match.js'

export interface GenericRequest {
  method: string
  path: string
  /** Without `?`; '' for none. */
  query: string
  /** All of the request, in order, names in lower case. */
  fields: readonly HeaderField[]
}

/**
 * What to do with a request.
 *
 *   refuse   answer it with this problem
 *   options  answer it as its final recipient (Max-Forwards: 0)
 *   lookup   the cache may have the answer, or keep it
 *   forward  straight through; when it ends well, what is stored of its target may be wrong
 */
export type Plan =
  | { kind: 'refuse'; status: number; code: string; message: string }
  | { kind: 'options' }
  | { kind: 'lookup'; target: string; fields: HeaderField[]; fillFields: HeaderField[]; directives: RequestDirectives }
  | { kind: 'forward'; target: string; fields: HeaderField[]; unsafe: boolean; why: 'method' | 'request'; hasBody: boolean }

export type LookupPlan = Extract<Plan, { kind: 'lookup' }>

/** RFC 9110 §9.2.1 and the method registry. What isn't listed has to be taken for unsafe (RFC 9111 §4.4). */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND', 'REPORT', 'SEARCH', 'QUERY'])

/** About this request alone, or answered by the edge: never part of the shared request that fills the cache. */
const NOT_FILLED: ReadonlySet<string> = new Set([
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
  'content-length',
])

export function plan(request: GenericRequest, prefix: string, edgeId: string): Plan {
  const { method, path, query } = request
  const value = (name: string) => fieldValue(request.fields, name)
  // RFC 9110 §9.3.8 would have the request sent back, credentials and all; §9.3.6 is for proxies that a client chose.
  if (method === 'TRACE' || method === 'CONNECT') return refuse(405, 'method-not-allowed', `${method} is not served here`)
  const problem = targetProblem(path, query, prefix)
  if (problem === 'too-long') return refuse(414, 'uri-too-long', 'the URL is too long')
  if (problem !== undefined) return refuse(400, 'bad-path', 'the URL cannot be forwarded')
  if (viaNames(value('via'), edgeId)) return refuse(508, 'loop', 'the request has been here before')
  const expect = value('expect')
  // §10.1.1: "A server that receives an Expect field value containing a member other than 100-continue MAY respond with a 417".
  if (expect !== undefined && expect.trim().toLowerCase() !== '100-continue')
    return refuse(417, 'expectation-failed', 'unknown expectation')
  const hasBody = value('transfer-encoding') !== undefined || Number(value('content-length') ?? 0) > 0
  let fields = endToEnd(request.fields).filter(([name]) => name !== 'host' && name !== 'expect')
  if (!hasBody) fields = fields.filter(([name]) => name !== 'content-length' || !SAFE.has(method))
  if (method === 'OPTIONS') {
    const hops = maxForwards(value('max-forwards'))
    if (hops === 0) return { kind: 'options' }
    if (hops !== undefined) fields = fields.map((field) => (field[0] === 'max-forwards' ? ['max-forwards', String(hops - 1)] : field))
  }
  const target = query === '' ? path : `${path}?${query}`
  const forward = (why: 'method' | 'request'): Plan => ({ kind: 'forward', target, fields, unsafe: !SAFE.has(method), why, hasBody })
  if (method !== 'GET' && method !== 'HEAD') return forward('method')
  const directives = requestDirectives(value('cache-control'), value('pragma'))
  // RFC 9110 §9.3.1: content in a GET "has no generally defined semantics": no key would tell such requests apart. RFC 9111 §4.3.2:
  // "A cache MUST NOT evaluate conditional header fields that only apply to an origin server": If-Match and If-Unmodified-Since.
  if (hasBody || value('if-match') !== undefined || value('if-unmodified-since') !== undefined) {
    return directives.onlyIfCached ? refuse(504, 'not-cached', 'nothing stored can answer this') : forward('request')
  }
  return { kind: 'lookup', target, fields, fillFields: fields.filter(([name]) => !NOT_FILLED.has(name)), directives }
}

/**
 * The targets whose stored responses an unsafe request has made doubtful. RFC 9111 §4.4: "A cache MUST invalidate the target URI when it
 * receives a non-error status code in response to an unsafe request method", and may do so for Location and Content-Location, but not
 * for another origin's: "This helps prevent denial-of-service attacks".
 *
 * @param host the request's Host
 */
export function invalidatedTargets(
  target: string,
  host: string | undefined,
  answer: { status: number; headers: Readonly<Record<string, string | undefined>> },
): string[] {
  if (answer.status < 200 || answer.status >= 400) return []
  const targets = new Set([target])
  const base = `http://${host ?? 'invalid'}${target}`
  for (const reference of [answer.headers.location, answer.headers['content-location']]) {
    if (reference === undefined || !URL.canParse(base) || !URL.canParse(reference, base)) continue
    const url = new URL(reference, base)
    if (url.host === new URL(base).host) targets.add(url.pathname + url.search)
  }
  return [...targets]
}

/** RFC 9110 §7.6.2: decimal digits; anything else is no limit. */
function maxForwards(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined
}

function refuse(status: number, code: string, message: string): Plan {
  return { kind: 'refuse', status, code, message }
}
