import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { newVideoId } from '@millrace/common/contracts/ids'
import type { SourceRef } from '@millrace/common/contracts/transcode-job'

export const CMS_TOKEN = 'an-internal-token-of-tests'

/** Stands for the CMS's sources and for the web: what each path answers is up to the test. */
export interface SourceServer {
  url: string
  /** Every request so far, as `GET /path range`. */
  requests: string[]
  routes: Map<string, (request: IncomingMessage, response: ServerResponse) => void>
  /** A stored source, served with ranges to who has the token. */
  store: (bytes: Buffer, name?: string) => SourceRef
  storeFile: (path: string) => Promise<SourceRef>
  stop: () => Promise<void>
}

export async function startSources(): Promise<SourceServer> {
  const routes: SourceServer['routes'] = new Map()
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url} ${request.headers.range ?? ''}`.trim())
    const route = routes.get(request.url ?? '')
    if (route) route(request, response)
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const store: SourceServer['store'] = (bytes, name = 'clip') => {
    const path = `/internal/v1/sources/${newVideoId()}`
    routes.set(path, (request, response) => {
      if (request.headers.authorization === `Bearer ${CMS_TOKEN}`) sendRange(bytes, request, response)
      else response.writeHead(401).end()
    })
    return { kind: 'stored', path, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex'), name }
  }
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    routes,
    store,
    storeFile: async (path) => store(await readFile(path)),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export function sendRange(bytes: Buffer, request: IncomingMessage, response: ServerResponse, headers: Record<string, string> = {}): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? Number.NaN)
  if (Number.isNaN(from)) response.writeHead(200, { 'content-length': bytes.length, ...headers }).end(bytes)
  else {
    const part = bytes.subarray(from)
    const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`
    response.writeHead(206, { 'content-length': part.length, 'content-range': range, ...headers }).end(part)
  }
}
