import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { parseArgs } from 'node:util'
import { notModified } from '@millrace/common/http/conditional'
import { contentRange, ifRangeHolds, parseRange } from '@millrace/common/http/range'
import { randomFrom } from '../harness/random.js'
import { bodyOf, catalogOf, type SoakObject } from './catalog.js'

// One of two origins with the same objects, in a process of its own, so that it can be killed. Now and then it hangs up in mid-body, but not
// while the other one is dead: then nobody could answer.
const CUT_SHARE = 0.01
let cutShare = CUT_SHARE
process.on('SIGUSR2', () => {
  cutShare = 0
})
process.on('SIGHUP', () => {
  cutShare = CUT_SHARE
})

const { values } = parseArgs({ options: { port: { type: 'string' }, seed: { type: 'string' } } })
const objects = new Map(catalogOf(Number(values.seed)).map((object) => [object.path, object]))
const random = randomFrom(Number(values.seed) + Number(values.port))

const server = createServer((request, response) => {
  const object = objects.get(request.url ?? '')
  if (object) answer(object, request, response)
  else response.writeHead(404, { 'content-length': 0 }).end()
})
server.keepAliveTimeout = 60_000
server.listen(Number(values.port), '127.0.0.1')

function answer(object: SoakObject, request: IncomingMessage, response: ServerResponse): void {
  const headers = { etag: object.etag, 'cache-control': object.cacheControl, 'content-type': 'video/mp4', 'accept-ranges': 'bytes' }
  const { range, 'if-range': ifRange, 'if-none-match': ifNoneMatch } = request.headers
  if (notModified({ ifNoneMatch }, object)) {
    response.writeHead(304, headers).end()
    return
  }
  const verdict = parseRange(ifRangeHolds(headerText(ifRange), object) ? range : undefined, object.bytes)
  if (verdict.kind === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': contentRange(undefined, object.bytes), 'content-length': 0 }).end()
    return
  }
  const whole = bodyOf(object)
  const body = verdict.kind === 'part' ? whole.subarray(verdict.range.start, verdict.range.end + 1) : whole
  const partial = verdict.kind === 'part' ? { 'content-range': contentRange(verdict.range, object.bytes) } : {}
  response.writeHead(verdict.kind === 'part' ? 206 : 200, { ...headers, ...partial, 'content-length': body.length })
  if (request.method === 'HEAD') response.end()
  else if (random() < cutShare) response.write(body.subarray(0, Math.floor(random() * body.length)), () => response.destroy())
  else response.end(body)
}

function headerText(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}
