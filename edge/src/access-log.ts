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
    .describe(
      'Phases whose requests get a line in any case, as far as the disk follows: lines beyond 4 MiB that wait are dropped and counted.',
    ),
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

/** JSON lines: a sample of all requests, and all of some phases. */
export class AccessLog {
  readonly #lines: { write(line: string): void }
  readonly #always: ReadonlySet<CachePhase>
  readonly #now: () => number

  constructor(
    lines: { write(line: string): void },
    options: { always: readonly CachePhase[]; now: () => number },
  ) {
    this.#lines = lines
    this.#always = new Set(options.always)
    this.#now = options.now
  }

  /** Whether all requests of this phase get a line; of the others the caller takes a sample. */
  always(phase: CachePhase): boolean {
    return this.#always.has(phase)
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
      headMs: rounded(exchange.headAfterMs),
      ms: rounded(details.ms),
      aborted: exchange.aborted || undefined,
      broken: exchange.broken || undefined,
      client: details.client,
      session: details.session,
    })
    this.#lines.write(`${line}\n`)
  }
}

/** A URL's path as logs may show it: no signature, wherever and however it stands, and a bounded length. */
export function redactPath(path: string): string {
  return path.replace(/%7e/gi, '~').split('/').map(redactRoute).join('/').slice(0, 512)
}

/** To a microsecond. */
function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 1000) / 1000
}
