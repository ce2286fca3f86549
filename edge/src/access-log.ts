import { CACHE_PHASES, type CachePhase } from '@millrace/common/contracts/edge-api'
import { redactRoute } from '@millrace/common/contracts/route'
import { z } from 'zod'
import type { Exchange } from './http/exchange.js'
import type { Decision } from './phase.js'

export const accessLogSchema = z.strictObject({
  path: z.string().min(1).optional().describe("File of the access log, reopened on SIGUSR1; the process log's stdout when left out."),
  sample: z.number().min(0).max(1).default(0.01).describe('Fraction of the requests that get a line.'),
  always: z
    .array(z.enum(CACHE_PHASES))
    .default(['error', 'refused'])
    .describe('Phases whose requests get a line in any case: up to 1,000 per second in each worker, beyond that a sample.'),
})
export type AccessLogConfig = z.output<typeof accessLogSchema>

/** What the log takes of an exchange. */
export type LoggedExchange = Pick<Exchange, 'method' | 'path' | 'status' | 'headAfterMs' | 'bytesSent' | 'aborted' | 'broken'>

/** What is only worked out for requests that get a line. */
export interface LineDetails {
  requestId: string
  /** Canonical address. */
  client: string
  /** Milliseconds from the request's arrival to the end of its answer. */
  ms: number
  /** CMCD session, where it was read. */
  session?: string | undefined
}

/** Refusals cost a client nothing, so a flood of them must not become a flood of lines that fills the disk. */
const ALWAYS_PER_SECOND = 1000

/** JSON lines: a sample of all requests, and all of some phases. */
export class AccessLog {
  /** Lines of phases that are always logged but were too many in one second. */
  suppressed = 0
  readonly #lines: { write(line: string): void }
  readonly #sample: number
  readonly #always: ReadonlySet<CachePhase>
  readonly #random: () => number
  readonly #now: () => number
  #second = 0
  #inSecond = 0

  /** @param options.now Unix milliseconds */
  constructor(
    lines: { write(line: string): void },
    options: { sample: number; always: readonly CachePhase[]; random: () => number; now: () => number },
  ) {
    this.#lines = lines
    this.#sample = options.sample
    this.#always = new Set(options.always)
    this.#random = options.random
    this.#now = options.now
  }

  /** Whether this request gets a line whatever becomes of it. Asked once per request, when it arrives. */
  sampled(): boolean {
    return this.#sample > 0 && this.#random() < this.#sample
  }

  /** Whether a request that is not in the sample gets a line for its phase. Asked once, when it is answered. */
  always(phase: CachePhase): boolean {
    return this.#always.has(phase) && this.#roomInSecond()
  }

  write(exchange: LoggedExchange, decision: Decision, details: LineDetails): void {
    const line = JSON.stringify({
      time: new Date(this.#now()).toISOString(),
      msg: 'request',
      request: details.requestId,
      method: exchange.method.slice(0, 16),
      path: redactPath(exchange.path),
      status: exchange.status,
      phase: decision.phase,
      class: decision.class,
      tier: decision.tier,
      origin: decision.origin,
      cause: decision.cause,
      bytes: exchange.bytesSent,
      headMs: exchange.headAfterMs < 0 ? undefined : rounded(exchange.headAfterMs),
      ms: rounded(details.ms),
      aborted: exchange.aborted || undefined,
      broken: exchange.broken || undefined,
      client: details.client,
      session: details.session,
    })
    this.#lines.write(`${line}\n`)
  }

  #roomInSecond(): boolean {
    const second = Math.floor(this.#now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#inSecond = 0
    }
    if (++this.#inSecond <= ALWAYS_PER_SECOND) return true
    this.suppressed++
    return false
  }
}

/** A URL's path as logs may show it: no signature, wherever and however it stands, and a bounded length. */
export function redactPath(path: string): string {
  return path.replace(/%7e/gi, '~').split('/').map(redactRoute).join('/').slice(0, 512)
}

/** To a microsecond. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
