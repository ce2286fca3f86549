import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { quantile } from '@millrace/common/testing/bench'
import { z } from 'zod'
import { type Answer, ClosedEarly, HttpConnection } from './http-connection.js'

/** What the client process can be told to do. */
export const jobSchema = z.discriminatedUnion('job', [
  z.object({ job: z.literal('one-by-one'), port: z.number(), targets: z.array(z.string()) }),
  z.object({ job: z.literal('latecomer'), port: z.number(), target: z.string(), afterMs: z.number() }),
  z.object({ job: z.literal('at-once'), port: z.number(), target: z.string(), clients: z.number() }),
  z.object({
    job: z.literal('crowd'),
    port: z.number(),
    target: z.string(),
    idle: z.number(),
    periodMs: z.number(),
    busy: z.number(),
    seconds: z.number(),
  }),
])
export type Job = z.infer<typeof jobSchema>

export interface OneByOne {
  firstByteMs: number[]
  statuses: Record<string, number>
}
export interface Latecomer {
  firstByteMs: number
  sha256: string[]
  /** Whether the first client's answer was still coming when the second one asked. */
  whileFilling: boolean
}
export interface AtOnce {
  statuses: Record<string, number>
  failures: Record<string, number>
  sha256: string[]
  wholeMs: number
}
export interface Crowd {
  errors: Record<string, number>
  requests: number
  idleRequests: number
  /** Connections that the server had closed when they were to be used again: opened anew, as every client does. */
  reopened: number
  p50Ms: number
  p99Ms: number
}

export async function runJob(job: Job): Promise<OneByOne | Latecomer | AtOnce | Crowd> {
  switch (job.job) {
    case 'one-by-one':
      return oneByOne(job)
    case 'latecomer':
      return latecomer(job)
    case 'at-once':
      return atOnce(job)
    case 'crowd':
      return crowd(job)
  }
}

async function oneByOne({ port, targets }: Extract<Job, { job: 'one-by-one' }>): Promise<OneByOne> {
  const connection = await HttpConnection.open(port)
  const firstByteMs: number[] = []
  const statuses: Record<string, number> = {}
  for (const target of targets) {
    const answer = await connection.get(target)
    firstByteMs.push(answer.firstByteMs)
    count(statuses, `${answer.status} ${(answer.headers.get('x-cache') ?? '').toLowerCase()}`)
  }
  connection.close()
  return { firstByteMs, statuses }
}

async function latecomer({ port, target, afterMs }: Extract<Job, { job: 'latecomer' }>): Promise<Latecomer> {
  const [first, second] = await Promise.all([HttpConnection.open(port), HttpConnection.open(port)])
  const began = performance.now()
  const leading = first.get(target, { digest: true })
  await delay(afterMs)
  const askedAt = performance.now()
  const [led, followed] = await Promise.all([leading, second.get(target, { digest: true })])
  first.close()
  second.close()
  return { firstByteMs: followed.firstByteMs, sha256: [led.sha256!, followed.sha256!], whileFilling: askedAt < began + led.wholeMs }
}

async function atOnce({ port, target, clients }: Extract<Job, { job: 'at-once' }>): Promise<AtOnce> {
  const connections = await openMany(port, clients)
  const began = performance.now()
  const answers = await Promise.allSettled(connections.map((connection) => connection.get(target, { digest: true })))
  const wholeMs = performance.now() - began
  for (const connection of connections) connection.close()
  const statuses: Record<string, number> = {}
  const failures: Record<string, number> = {}
  const digests = new Set<string>()
  for (const answer of answers) {
    if (answer.status === 'rejected') count(failures, (answer.reason as Error).message)
    else {
      count(statuses, `${answer.value.status} ${answer.value.headers.get('x-cache') ?? ''}`)
      if (answer.value.status === 200) digests.add(answer.value.sha256!)
    }
  }
  return { statuses, failures, sha256: [...digests], wholeMs }
}

async function crowd({ port, target, idle, periodMs, busy, seconds }: Extract<Job, { job: 'crowd' }>): Promise<Crowd> {
  const errors: Record<string, number> = {}
  const note = (answer: Answer) => {
    if (answer.status !== 200) count(errors, String(answer.status))
  }
  const fail = (error: Error) => count(errors, error.message)
  // The busy ones begin when all the others are there.
  const gatherMs = idle > 0 ? periodMs : 0
  const end = performance.now() + gatherMs + seconds * 1000
  const many = idle > 0 ? askInTurn(port, target, { idle, periodMs, end, note, fail }) : Promise.resolve({ answered: 0, reopened: 0 })
  await delay(gatherMs)
  const latencies: number[] = []
  const ask = async () => {
    const connection = await HttpConnection.open(port)
    while (performance.now() < end) {
      const answer = await connection.get(target)
      note(answer)
      latencies.push(answer.wholeMs)
    }
    connection.close()
  }
  await Promise.all(Array.from({ length: busy }, () => ask().catch(fail)))
  const { answered: idleRequests, reopened } = await many
  const requests = latencies.length
  return { errors, requests, idleRequests, reopened, p50Ms: quantile(latencies, 0.5), p99Ms: quantile(latencies, 0.99) }
}

/**
 * Opens `idle` connections one after the other over the first period, each of which asks as soon as it is open and then once in every
 * period.
 */
async function askInTurn(
  port: number,
  target: string,
  options: { idle: number; periodMs: number; end: number; note: (answer: Answer) => void; fail: (error: Error) => void },
): Promise<{ answered: number; reopened: number }> {
  const { idle, periodMs, end, note, fail } = options
  let answered = 0
  let reopened = 0
  const visit = async (index: number, began: number) => {
    await delay(Math.max(0, began + (index / idle) * periodMs - performance.now()))
    let connection = await HttpConnection.open(port)
    note(await connection.get(target))
    answered++
    for (let due = performance.now() + periodMs; due < end; due += periodMs) {
      await delay(Math.max(0, due - performance.now()))
      const answer = await connection.get(target).catch(async (error: Error) => {
        // RFC 9112 §9.3.1: a client may send an idempotent request again when its connection was closed before any answer.
        if (!(error instanceof ClosedEarly)) throw error
        reopened++
        connection = await HttpConnection.open(port)
        return connection.get(target)
      })
      note(answer)
      answered++
    }
    return connection
  }
  const began = performance.now()
  const visits = await Promise.allSettled(Array.from({ length: idle }, (_, index) => visit(index, began)))
  for (const visited of visits) {
    if (visited.status === 'fulfilled') visited.value.close()
    else fail(visited.reason as Error)
  }
  return { answered, reopened }
}

async function openMany(port: number, count: number): Promise<HttpConnection[]> {
  const connections: HttpConnection[] = []
  // Fewer at a time than any listener's backlog.
  while (connections.length < count) {
    const batch = Math.min(100, count - connections.length)
    connections.push(...(await Promise.all(Array.from({ length: batch }, () => HttpConnection.open(port)))))
  }
  return connections
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1
}
