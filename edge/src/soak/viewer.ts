import { Agent, type IncomingMessage, request } from 'node:http'
import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { bodyOf, type SoakObject } from './catalog.js'
import { type Plan, planRequest } from './plan.js'
import type { Tally } from './tally.js'
import { BREAKS, REFUSES, type Troubles } from './trouble.js'

export interface ViewerDependencies {
  objects: readonly SoakObject[]
  bodies: ReadonlyMap<string, Buffer>
  target: (path: string) => string
  port: number
  tally: Tally
  troubles: Troubles
  random: () => number
}

/** One client with one connection, which asks until told to stop, and believes nothing. */
export async function view(dependencies: ViewerDependencies, stop: AbortSignal): Promise<void> {
  const { objects, random } = dependencies
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  while (!stop.aborted) {
    await watch(dependencies, agent, planRequest(objects, random))
    await delay(random() * 500)
  }
  agent.destroy()
}

/** Makes one request and judges it. Never rejects for what a server or a network can do. @returns whether it was answered, whole. */
export async function watch(dependencies: ViewerDependencies, agent: Agent, plan: Plan): Promise<boolean> {
  const { tally, troubles } = dependencies
  const since = performance.now()
  tally.requests++
  try {
    if (await fetchPlan(dependencies, agent, plan, since)) return true
  } catch (error) {
    if (error instanceof Left) {
      tally.aborted++
      return false
    }
    const excused = troubles.touched(BREAKS, since)
    tally.broken[excused ? 'inTrouble' : 'otherwise']++
    if (!excused) tally.example(`broken: ${describe(plan)}: ${(error as Error).message}`)
  }
  // As a player would, rather than in a hot loop while nobody answers.
  await delay(500)
  return false
}

class Left extends Error {}

async function fetchPlan(dependencies: ViewerDependencies, agent: Agent, plan: Plan, since: number): Promise<boolean> {
  const { tally, bodies, troubles } = dependencies
  const { object } = plan
  const response = await ask(dependencies, agent, plan)
  const status = response.statusCode ?? 0
  tally.answer(status, String(response.headers['x-cache'] ?? ''))
  if (status >= 500) {
    await drain(response)
    const excused = troubles.touched(REFUSES, since)
    tally.refused[excused ? 'inTrouble' : 'otherwise']++
    if (!excused) tally.example(`${status}: ${describe(plan)}`)
    return false
  }
  if (!plan.right.includes(status)) {
    await drain(response)
    tally.difference(`${status} instead of ${plan.right}: ${describe(plan)}`)
    return false
  }
  const wrong = wrongHead(response, plan)
  if (wrong) tally.difference(`${wrong}: ${describe(plan)}`)
  if (plan.method === 'HEAD' || status === 304 || status === 416) {
    await drain(response)
    return true
  }
  const whole = bodies.get(object.path) ?? bodyOf(object)
  const expected = status === 206 && plan.part ? whole.subarray(plan.part.start, plan.part.end) : whole
  await compare(response, expected, plan, tally)
  return true
}

function ask({ port, target }: ViewerDependencies, agent: Agent, plan: Plan): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { method, headers, object } = plan
    const outgoing = request({ host: '127.0.0.1', port, path: target(object.path), method, headers, agent, timeout: 30_000 }, resolve)
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 30 s')))
    outgoing.on('error', reject)
    outgoing.end()
  })
}

function wrongHead(response: IncomingMessage, plan: Plan): string | undefined {
  const { etag, 'content-range': range, 'content-length': length } = response.headers
  if (response.statusCode !== 416 && etag !== plan.object.etag) return `etag ${etag}`
  if (plan.method === 'HEAD') return Number(length) === plan.object.bytes ? undefined : `content-length ${length}`
  if (response.statusCode !== 206 || !plan.part) return undefined
  const right = `bytes ${plan.part.start}-${plan.part.end - 1}/${plan.object.bytes}`
  return range === right ? undefined : `content-range ${range}`
}

/** Each byte as it comes. @throws Left when the client has left, as planned, and what the connection throws when it breaks. */
async function compare(response: IncomingMessage, expected: Buffer, plan: Plan, tally: Tally): Promise<void> {
  let at = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    tally.bytes += chunk.length
    if (!chunk.equals(expected.subarray(at, at + chunk.length))) {
      response.destroy()
      return tally.difference(`wrong bytes within ${at} to ${at + chunk.length}: ${describe(plan)}`)
    }
    at += chunk.length
    if (plan.abortAfter !== undefined && at >= plan.abortAfter) {
      response.destroy()
      throw new Left()
    }
    if (plan.slow) await delay(50)
  }
  // A connection that ends too early is told by an error: here the answer claims to be whole.
  if (at !== expected.length) tally.difference(`${at} of ${expected.length} bytes: ${describe(plan)}`)
}

async function drain(response: IncomingMessage): Promise<void> {
  for await (const _ of response) {
    // Problem answers are small.
  }
}

function describe({ method, object, headers }: Plan): string {
  return `${method} ${object.path} (${object.bytes} bytes) ${JSON.stringify(headers)}`
}
