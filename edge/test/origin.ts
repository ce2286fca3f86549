import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

export type Behaviour = (request: IncomingMessage, response: ServerResponse) => void

/** A real HTTP origin that a test tells how to answer. */
export interface TestOrigin {
  url: string
  port: number
  /** Paths asked for, in order. */
  requests: string[]
  headers: IncomingMessage['headers'][]
  /** What answers from now on. */
  behave: (behaviour: Behaviour) => void
  stop: () => Promise<void>
  /** Again, on the same port. */
  start: () => Promise<void>
}

export async function startOrigin(first: Behaviour = serveBytes()): Promise<TestOrigin> {
  let behaviour = first
  const sockets = new Set<Socket>()
  const requests: string[] = []
  const headers: IncomingMessage['headers'][] = []
  const server = createServer((request, response) => {
    requests.push(request.url ?? '')
    headers.push(request.headers)
    behaviour(request, response)
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  await listen(0)
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    headers,
    behave: (next) => {
      behaviour = next
    },
    stop: () =>
      new Promise((resolve) => {
        if (!server.listening) return resolve()
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
    start: () => listen(port),
  }
}

/** The bytes that every test origin has for a path: told by path and length alone, so that any mix-up shows. */
export function bytesOf(path: string, length: number): Buffer {
  const block = createHash('sha512').update(path).digest()
  const body = Buffer.alloc(length)
  for (let at = 0; at < length; at += block.length) {
    block.writeUInt32BE(at, 0)
    block.copy(body, at)
  }
  return body
}

export const BODY_LENGTH = 300_000

/** A whole 200 with content-length and a strong ETag. */
export function serveBytes(length: number | ((path: string) => number) = BODY_LENGTH, headers: Record<string, string> = {}): Behaviour {
  return (request, response) => {
    const path = request.url ?? ''
    const body = bytesOf(path, typeof length === 'number' ? length : length(path))
    const etag = `"${createHash('sha256').update(path).digest('hex').slice(0, 16)}"`
    response.writeHead(200, { 'content-length': body.length, 'content-type': 'video/mp4', etag, ...headers })
    response.end(request.method === 'HEAD' ? undefined : body)
  }
}

export function serveStatus(status: number): Behaviour {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'text/plain' }).end('no\n')
  }
}

/** Sends so many bytes of what it promised, then hangs up. */
export function breakAfter(sent: number, promised = BODY_LENGTH): Behaviour {
  return (request, response) => {
    response.writeHead(200, { 'content-length': promised, 'content-type': 'video/mp4' })
    response.write(bytesOf(request.url ?? '', promised).subarray(0, sent), () => response.destroy())
  }
}

/** Sends its head and first bytes, and the rest when told. */
export function serveInTwo(first: number): { behaviour: Behaviour; release: () => void } {
  let release = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  return {
    release,
    behaviour: (request, response) => {
      const body = bytesOf(request.url ?? '', BODY_LENGTH)
      response.writeHead(200, { 'content-length': body.length, 'content-type': 'video/mp4' })
      response.write(body.subarray(0, first))
      void released.then(() => response.end(body.subarray(first)))
    },
  }
}
