import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Registry } from 'prom-client'
import type { ListenAddress } from '../config/units.js'

export type Check = () => Promise<string | undefined> | string | undefined

export interface AdminOptions {
  listen: ListenAddress
  /** What /metrics answers: a registry, or what gathers several processes' ones. */
  registry: Pick<Registry, 'metrics' | 'contentType'>
  /** Named checks of readiness; each answers undefined when well, else a sentence. */
  ready: Record<string, Check>
  /** Further admin routes of a tier; returns false for a path it doesn't know. */
  handle?: (request: IncomingMessage, response: ServerResponse) => Promise<boolean>
}

/** The private listener of a tier: GET /metrics, /healthz (the process answers), /readyz (it can do its work). */
export async function startAdminServer(
  options: AdminOptions,
): Promise<{ server: Server; address: ListenAddress; close: () => Promise<void> }> {
  const server = createServer((request, response) => {
    answer(options, request, response).catch((error: Error) => {
      if (!response.headersSent) response.writeHead(500)
      response.end(`${error.message}\n`)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.listen.port, options.listen.host, resolve)
  })
  const bound = server.address()
  const port = typeof bound === 'object' && bound ? bound.port : options.listen.port
  return {
    server,
    address: { host: options.listen.host, port },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(options: AdminOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '/').split('?')[0]
  if (request.method === 'GET' && path === '/metrics') {
    const text = await options.registry.metrics()
    response.writeHead(200, { 'content-type': options.registry.contentType }).end(text)
  } else if (request.method === 'GET' && path === '/healthz') {
    response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n')
  } else if (request.method === 'GET' && path === '/readyz') {
    const problems: Record<string, string> = {}
    for (const [name, check] of Object.entries(options.ready)) {
      const problem = await Promise.resolve(check()).catch((error: Error) => error.message)
      if (problem) problems[name] = problem
    }
    const ready = Object.keys(problems).length === 0
    response.writeHead(ready ? 200 : 503, { 'content-type': 'application/json' }).end(`${JSON.stringify({ ready, problems })}\n`)
  } else if (!options.handle || !(await options.handle(request, response))) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n')
  }
}
