import { fetchSchema, healthSchema } from '../src/origin/config.js'
import type { Attempt, Fetched, OriginGroup, OriginRequest } from '../src/origin/contract.js'
import { Origins } from '../src/origin/origins.js'

/** What an origin group told its observer, in order. */
export interface Told {
  attempts: (Attempt & { ms: number })[]
  health: string[]
  hedges: string[]
  continued: string[]
  spent: number
}

export interface TestGroup {
  origins: Origins
  told: Told
  close: () => Promise<void>
}

/** Origins `o1`, `o2` … at these URLs, without probes and with retries galore unless the test says otherwise. */
export function startGroup(urls: readonly string[], options: { fetch?: object; health?: object; random?: () => number } = {}): TestGroup {
  const told: Told = { attempts: [], health: [], hedges: [], continued: [], spent: 0 }
  const origins = new Origins(
    {
      edgeId: 'e1',
      origins: urls.map((url, index) => ({ id: `o${index + 1}`, url })),
      fetch: fetchSchema.parse({
        connectTimeout: '1s',
        headersTimeout: '5s',
        bodyTimeout: '5s',
        retryBudget: { minPerSecond: 1000 },
        ...options.fetch,
      }),
      health: healthSchema.parse({ probe: false, ...options.health }),
      now: () => performance.now(),
      random: options.random ?? Math.random,
    },
    {
      onAttempt: (attempt, ms) => told.attempts.push({ ...attempt, ms }),
      onHealth: (origin, up) => told.health.push(`${origin} ${up ? 'up' : 'down'}`),
      onHedge: (outcome) => told.hedges.push(outcome),
      onContinued: (outcome) => told.continued.push(outcome),
      onBudgetSpent: () => told.spent++,
    },
  )
  return { origins, told, close: () => origins.close() }
}

export function get(path: string, more: Partial<OriginRequest> = {}): OriginRequest {
  return { purpose: 'fill', method: 'GET', path, mode: 'media', signal: new AbortController().signal, ...more }
}

export const is200 = (status: number) => status === 200

/** `o1 ok, o2 timeout`. */
export function outcomes(fetched: Fetched): string {
  return fetched.attempts.map(({ origin, outcome }) => `${origin} ${outcome}`).join(', ')
}

export async function read(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Fetches and reads, continuing where a body breaks, as a fill does. */
export async function readContinued(group: OriginGroup, order: readonly string[], request: OriginRequest): Promise<Buffer> {
  const fetched = await group.fetch(order, { ...request, wanted: is200 })
  if (!fetched.ok) throw new Error(`no origin answered: ${outcomes(fetched)}`)
  const chunks: Uint8Array[] = []
  const readBack = async (start: number, end: number) => Buffer.concat(chunks).subarray(start, end)
  for await (const chunk of group.continued(fetched.answer, order, request, readBack)) chunks.push(chunk)
  return Buffer.concat(chunks)
}
