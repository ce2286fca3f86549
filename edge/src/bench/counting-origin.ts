import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { bytesOf } from '../harness/told-bytes.js'

/** An origin that counts what it is asked, and takes its time to answer, so that whoever is to coalesce has something to wait for. */
export interface CountingOrigin {
  port: number
  /** Requests so far, of any kind. */
  requests: number
  notModified: number
  stop: () => Promise<void>
}

export interface CountingOptions {
  bytes: number
  answerAfterMs: number
  cacheControl: string
}

export async function startCountingOrigin({ bytes, answerAfterMs, cacheControl }: CountingOptions): Promise<CountingOrigin> {
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    origin.requests++
    setTimeout(() => answer(path, request.headers['if-none-match'], response), answerAfterMs)
  })
  const answer = (path: string, known: string | undefined, response: ServerResponse) => {
    const headers = { etag: '"always"', 'cache-control': cacheControl, 'content-type': 'video/mp4' }
    if (known === headers.etag) {
      origin.notModified++
      response.writeHead(304, headers).end()
    } else {
      response.writeHead(200, { ...headers, 'content-length': bytes }).end(bytesOf(path, bytes))
    }
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4096, resolve))
  const origin: CountingOrigin = {
    port: (server.address() as AddressInfo).port,
    requests: 0,
    notModified: 0,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return origin
}
