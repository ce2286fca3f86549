import type { IncomingMessage, ServerResponse } from 'node:http'
import { beforeEach } from 'vitest'
import type { TestEdge } from './edge.js'
import { type Fields, genericSite, type Script } from './generic-site.js'
import type { TestOrigin } from './origin.js'

type Sent = Record<string, string>

/** Stale when it arrives, so that no test has to wait for that. */
export const OLD = { age: '60' }
export const MODIFIED = 'Sun, 19 Nov 2000 08:52:00 GMT'

/** For each test of a suite an edge of one process with an application behind it that remembers what it was asked. */
export interface GenericApp {
  readonly edge: TestEdge
  readonly origin: TestOrigin
  /** Of the requests that came to the application, in order. */
  readonly methods: string[]
  /** Of the requests that came whole to the application, in order. */
  readonly bodies: string[]
  /** What the application answers; `body n` for the nth request where nothing else is said. */
  serve: (script: Script) => void
  always: (headers: Fields, status?: number) => void
  /** The body of an answer, once what it had stored is stored. */
  text: (path?: string, headers?: Sent) => Promise<string>
  /** The bodies of two answers for one path; the second request is as the first where nothing else is said. */
  twice: (first?: Sent, second?: Sent) => Promise<string[]>
  /** The `x-cache` of an answer. */
  phase: (headers?: Sent, path?: string) => Promise<unknown>
}

/** Registers the hooks. */
export function genericApp(): GenericApp {
  const site = genericSite()
  const methods: string[] = []
  const bodies: string[] = []
  beforeEach(() => {
    methods.length = 0
    bodies.length = 0
  })

  const serve = (script: Script) => {
    let count = 0
    site.origin.behave((incoming: IncomingMessage, response: ServerResponse) => {
      const number = ++count
      methods.push(incoming.method ?? '')
      let body = ''
      incoming.on('data', (chunk) => {
        body += chunk
      })
      incoming.on('end', () => {
        bodies.push(body)
        const { status = 200, headers = {}, body: text = `body ${number}` } = script(incoming, number)
        const bodiless = status === 204 || status === 205 || status === 304
        response.writeHead(status, bodiless ? headers : { 'content-length': Buffer.byteLength(text), ...headers })
        response.end(bodiless || incoming.method === 'HEAD' ? undefined : text)
      })
    })
  }
  const text = async (path = '/app/a', headers: Sent = {}) => {
    const answer = await site.edge.get(path, headers)
    await site.edge.idle()
    return answer.body.toString()
  }
  return {
    get edge() {
      return site.edge
    },
    get origin() {
      return site.origin
    },
    methods,
    bodies,
    serve,
    always: (headers, status = 200) => serve(() => ({ status, headers })),
    text,
    twice: async (first = {}, second = first) => [await text('/app/a', first), await text('/app/a', second)],
    phase: async (headers = {}, path = '/app/a') => (await site.edge.get(path, headers)).headers['x-cache'],
  }
}
