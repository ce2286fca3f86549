import { MillraceError } from '@millrace/common/errors'
import type { HeaderField } from '../cache/entry-meta.js'
import type { CacheStatusDetails } from '../http/cache-status.js'
import { fieldValue } from '../http/fields.js'
import type { Attempt, Fetched, OriginAnswer } from '../origin/contract.js'
import type { Decision } from '../phase.js'
import { answerPassed } from './answer.js'
import type { GenericRun } from './contract.js'
import { genericKey } from './keys.js'
import { matchPath } from './match.js'
import { invalidatedTargets } from './plan.js'

/** Asks the origin for one request, past the cache, and sends what it answers. */
export class Direct {
  readonly #run: GenericRun

  constructor(run: GenericRun) {
    this.#run = run
  }

  /** Straight through. The body is taken over before anything is waited for. */
  async forward(
    target: string,
    fields: readonly HeaderField[],
    how: CacheStatusDetails & { unsafe: boolean; hasBody: boolean },
  ): Promise<Decision> {
    const { hasBody, ...rest } = how
    const body = hasBody ? this.#run.exchange.readBody() : undefined
    const fetched = await this.ask(target, fields, body)
    if (!fetched.ok) throw noAnswer(fetched.attempts)
    return this.send(fetched.answer, target, rest)
  }

  /** By the request's own method. */
  ask(path: string, headers: readonly HeaderField[], body?: AsyncIterable<Uint8Array>): Promise<Fetched> {
    const { exchange, deps, trace, signal } = this.#run
    return deps.origins.fetch([this.#run.path.origin], {
      purpose: 'pass',
      mode: 'generic',
      method: exchange.method,
      path,
      headers,
      ...(body && { body }),
      trace,
      signal,
      // Whatever it answers is the answer.
      wanted: () => true,
    })
  }

  /** An answer that nobody else takes: it is sent, or let go. */
  async send(answer: OriginAnswer, target: string, how: CacheStatusDetails & { unsafe: boolean }): Promise<Decision> {
    const { exchange, deps } = this.#run
    const { unsafe, ...details } = how
    const decision: Decision = { phase: 'bypass', class: 'generic', tier: 'origin', origin: answer.origin }
    const said = { edgeId: deps.edgeId, decision, details: { ...details, fwdStatus: answer.status } }
    try {
      // Before the answer, so that a client that saw it sees its effect.
      if (unsafe) await this.#invalidate(target, answer)
      await answerPassed(exchange, answer, said, deps.sending(exchange))
    } catch (error) {
      answer.discard()
      throw error
    }
    return decision
  }

  async #invalidate(target: string, answer: OriginAnswer): Promise<void> {
    const { deps, fields } = this.#run
    const texts: string[] = []
    for (const found of invalidatedTargets(target, fieldValue(fields, 'host'), answer)) {
      const path = matchPath(deps.paths, found.split('?', 1)[0]!)
      const key = path && genericKey(path.origin, found)
      if (key) texts.push(key.text)
    }
    if (texts.length > 0) await deps.invalidations.invalidate(texts)
  }
}

/** RFC 9110 §15.6.3, §15.6.5. */
export function noAnswer(attempts: readonly Attempt[]): MillraceError {
  const timeout = attempts.at(-1)?.outcome === 'timeout'
  return new MillraceError(timeout ? 'the origin did not answer in time' : 'the origin cannot be reached', {
    code: timeout ? 'origin-timeout' : 'origin-unreachable',
    source: 'origin',
    retryable: true,
    status: timeout ? 504 : 502,
  })
}
