import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
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

interface Connection {
  /** Aborted when the connection ends: an answer that waits behind another one hears of it in no other way. */
  gone: AbortSignal
  latest?: ServerResponse
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
  const connections = new WeakMap<Duplex, Connection>()
  server.on('connection', (socket) => {
    const gone = new AbortController()
    connections.set(socket, { gone: gone.signal })
    socket.once('close', () => gone.abort())
  })
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const connection = connections.get(request.socket)!
    // RFC 9112 §9.6: after `close`, nothing that follows on the connection counts.
    if (connection.latest?.shouldKeepAlive === false) return
    connection.latest = response
    const started = performance.now()
    const sentBefore = request.socket.bytesWritten
    void answer(deps, request, response, connection.gone).then((answered) => {
      const bytes = Math.max(0, request.socket.bytesWritten - sentBefore)
      onAnswered(answered, bytes, (performance.now() - started) / 1000)
    })
  }
  server.on('request', handle)
  // Answered like any request with a body: 400, and no `100 Continue` first.
  server.on('checkContinue', handle)
  server.on('connect', (_request, socket) => cut(socket as Socket, 405, 'allow: GET, HEAD\r\n'))
  server.on('clientError', (error, socket) => {
    const current = connections.get(socket)?.latest
    const done = current === undefined || (current.writableFinished && current.shouldKeepAlive)
    if (done) cut(socket as Socket, statusOf(error))
    // An answer is on its way, or was the last one: words of ours would end up inside or behind it.
    else if (current.writableEnded) (socket as Socket).destroySoon()
    else socket.destroy()
  })
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
