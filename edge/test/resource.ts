import type { Behaviour } from './origin.js'

/** What an origin has under every path; a test may change it at any time. */
export interface Resource {
  body: Buffer
  /** Lower case, with the validators that it has. */
  headers: Record<string, string>
  /** Further fields of a 304. */
  confirms?: Record<string, string>
}

/**
 * An origin that knows conditions and single ranges. It sends no Date, so that an edge whose clock was put forward doesn't take its answers
 * for old ones.
 */
export function serveResource(resource: Resource): Behaviour {
  return (request, response) => {
    response.sendDate = false
    const { body, headers, confirms } = resource
    const { 'if-none-match': noneMatch, 'if-modified-since': since, range } = request.headers
    const confirmed = noneMatch === undefined ? since !== undefined && since === headers['last-modified'] : noneMatch === headers.etag
    if (confirmed) {
      const { 'content-type': _, ...rest } = headers
      response.writeHead(304, { ...rest, ...confirms }).end()
      return
    }
    const [first, last] = (/^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? []).slice(1)
    if (first === undefined) {
      response.writeHead(200, { 'content-length': body.length, ...headers }).end(request.method === 'HEAD' ? undefined : body)
      return
    }
    const part = body.subarray(Number(first), last ? Number(last) + 1 : body.length)
    const contentRange = `bytes ${first}-${Number(first) + part.length - 1}/${body.length}`
    response.writeHead(206, { 'content-length': part.length, ...headers, 'content-range': contentRange }).end(part)
  }
}
