import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { ListenAddress } from '@millrace/common/config/units'
import { errorCode } from '../assets/durable.js'
import { type Answered, answer } from './answer.js'
import type { ResourceDeps } from './resource.js'

const MAX_HEADER_BYTES = 16 * 1024
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 15_000
/** Longer than an edge keeps an idle connection, so that it's the edge that closes. */
const KEEP_ALIVE_MS = 65_000
/** A client that takes no byte for this long is cut. */
const STALL_MS = 60_000

export interface DataListener {
  address: ListenAddress
  /** Stops taking connections, lets running answers end, then cuts what is left. */
  stop: (graceMs: number) => Promise<void>
}

/** The data listener: what edges and the CMS read. Plain node:http; GET and HEAD, no bodies in. */
export async function startDataListener(
  listen: ListenAddress,
  deps: ResourceDeps,
  onAnswered: (answered: Answered, bytes: number, seconds: number) => void,
): Promise<DataListener> {
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
  })
  server.setTimeout(STALL_MS)
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const started = performance.now()
    const sentBefore = request.socket.bytesWritten
    void answer(deps, request, response).then((answered) => {
      const bytes = Math.max(0, request.socket.bytesWritten - sentBefore)
      onAnswered(answered, bytes, (performance.now() - started) / 1000)
    })
  }
  server.on('request', handle)
  // Answered like any request with a body: 400, and no `100 Continue` first.
  server.on('checkContinue', handle)
  server.on('connect', (_request, socket) => cut(socket as Socket, 405, 'allow: GET, HEAD\r\n'))
  server.on('clientError', (error, socket) => cut(socket as Socket, statusOf(error)))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(listen.port, listen.host, resolve)
  })
  const bound = server.address()
  return {
    address: { host: listen.host, port: typeof bound === 'object' && bound ? bound.port : listen.port },
    stop: (graceMs) => stop(server, graceMs),
  }
}

async function stop(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), graceMs)
  await closed
  clearTimeout(timer)
}

/** What node's parser refuses: malformed, too large, too slow. */
function statusOf(error: Error): number {
  const code = errorCode(error)
  if (code === 'HPE_HEADER_OVERFLOW') return 431
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
}

function cut(socket: Socket, status: number, headers = ''): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers}connection: close\r\ncontent-length: 0\r\n\r\n`)
}
