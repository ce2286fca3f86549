import { type AddressInfo, createServer, type Socket } from 'node:net'

/** An origin that is no more than a socket: what it says is up to the test, HTTP or not. */
export interface RawOrigin {
  url: string
  /** Heads of the requests so far, in order. */
  requests: string[]
  /** Connections so far. */
  connections: () => number
  /** Those that are open. */
  sockets: ReadonlySet<Socket>
  stop: () => Promise<void>
}

/** @param onRequest called per request head, with how many its connection has carried before */
export async function startRawOrigin(onRequest: (socket: Socket, head: string, before: number) => void): Promise<RawOrigin> {
  const sockets = new Set<Socket>()
  const requests: string[] = []
  let connections = 0
  const server = createServer((socket) => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // An edge that aborts resets the connection.
    socket.on('error', () => undefined)
    let text = ''
    let before = 0
    socket.on('data', (data) => {
      text += data.toString('latin1')
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end)
        text = text.slice(end + 4)
        requests.push(head)
        onRequest(socket, head, before++)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    connections: () => connections,
    sockets,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

export function respond(socket: Socket, body: string, head = 'HTTP/1.1 200 OK', fields = ''): void {
  socket.write(`${head}\r\n${fields}content-length: ${body.length}\r\n\r\n${body}`)
}
