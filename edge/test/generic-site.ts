import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterEach, beforeEach } from 'vitest'
import { startTestEdge, type TestEdge, tempFolder } from './edge.js'
import { startOrigin, type TestOrigin } from './origin.js'

export type Fields = Record<string, string | string[]>
export interface Page {
  status?: number
  headers?: Fields
  body?: string
}
export type Script = (request: IncomingMessage, count: number) => Page

export const PATHS = [{ prefix: '/app', mode: 'generic', origin: 'o1' }]

/** For each test of a suite an edge of one process with an application behind it, and a clock that goes forward when it is told to. */
export interface GenericSite {
  readonly edge: TestEdge
  readonly origin: TestOrigin
  readonly folder: string
  forward: (ms: number) => void
  /** What the application answers; `body n` to the nth request where nothing else is said. */
  serve: (script: Script) => void
  /** The body and `x-cache` of an answer, once what it had stored is stored. */
  ask: (headers?: Record<string, string>, path?: string) => Promise<[string, unknown]>
}

/** Registers the hooks. */
export function genericSite(overrides: Record<string, unknown> = {}): GenericSite {
  let state: { folder: Awaited<ReturnType<typeof tempFolder>>; origin: TestOrigin; edge: TestEdge; ahead: number }
  beforeEach(async () => {
    const [folder, origin] = await Promise.all([tempFolder(), startOrigin()])
    const now = () => Date.now() + state.ahead
    state = { folder, origin, ahead: 0 } as typeof state
    state.edge = await startTestEdge(folder.path, [origin], { paths: PATHS, ...overrides }, now)
  })
  afterEach(async () => {
    await state.edge.stop()
    await state.origin.stop()
    await state.folder.remove()
  })
  return {
    get edge() {
      return state.edge
    },
    get origin() {
      return state.origin
    },
    get folder() {
      return state.folder.path
    },
    forward: (ms) => {
      state.ahead += ms
    },
    serve: (script) => state.origin.behave(answering(script)),
    ask: async (headers = {}, path = '/app/a') => {
      const answer = await state.edge.get(path, headers)
      await state.edge.idle()
      return [answer.body.toString(), answer.headers['x-cache']]
    },
  }
}

export function answering(script: Script): (request: IncomingMessage, response: ServerResponse) => void {
  let count = 0
  return (request, response) => {
    const number = ++count
    request.resume()
    // A date by the clock of this process would be an age to an edge that is ahead.
    response.sendDate = false
    const { status = 200, headers = {}, body = `body ${number}` } = script(request, number)
    const bodiless = status === 204 || status === 304
    response.writeHead(status, bodiless ? headers : { 'content-length': Buffer.byteLength(body), ...headers })
    response.end(bodiless || request.method === 'HEAD' ? undefined : body)
  }
}
