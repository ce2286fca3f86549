import { MillraceError } from '@millrace/common/errors'
import type { OriginAnswer } from './fetch.js'

/** How one origin answered one request; a metrics label. */
export const ATTEMPT_OUTCOMES = ['ok', 'missing', 'timeout', 'unreachable', 'server-error', 'rejected'] as const
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number]

export interface Attempt {
  origin: string
  outcome: AttemptOutcome
}

export type Fetched = { ok: true; answer: OriginAnswer } | { ok: false; attempts: Attempt[] }

/** What an answer's status means to someone who can use `wanted`. A replica that isn't there is not a failure of its origin. */
export function outcomeOf(status: number, wanted: readonly number[]): AttemptOutcome {
  if (wanted.includes(status)) return 'ok'
  if (status === 404 || status === 410) return 'missing'
  return status >= 500 ? 'server-error' : 'rejected'
}

/** Whether an outcome counts against the origin's health. */
export function isFailure(outcome: AttemptOutcome): boolean {
  return outcome === 'timeout' || outcome === 'unreachable' || outcome === 'server-error'
}

/**
 * Asks one origin after the other until one answers with a wanted status and its first byte.
 *
 * @param ask fetches from one origin; throws MillraceError `origin-…`
 * @param report told of every attempt
 */
export async function fetchWithFallback(
  order: readonly string[],
  wanted: readonly number[],
  ask: (origin: string) => Promise<OriginAnswer>,
  report: (attempt: Attempt) => void,
): Promise<Fetched> {
  const attempts: Attempt[] = []
  for (const origin of order) {
    let outcome: AttemptOutcome
    try {
      const answer = await ask(origin)
      outcome = outcomeOf(answer.status, wanted)
      if (outcome === 'ok') {
        report({ origin, outcome })
        return { ok: true, answer }
      }
      answer.discard()
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      outcome = error.code === 'origin-timeout' ? 'timeout' : 'unreachable'
    }
    attempts.push({ origin, outcome })
    report({ origin, outcome })
  }
  return { ok: false, attempts }
}

/** All asked have said that there is no such thing. */
export function allMissing(attempts: readonly Attempt[]): boolean {
  return attempts.length > 0 && attempts.every((attempt) => attempt.outcome === 'missing')
}

/** The answer when no origin gave the bytes. One 404 beside failures proves nothing: the replica may be on the one that is down. */
export function exhausted(attempts: readonly Attempt[]): MillraceError {
  if (allMissing(attempts)) {
    return new MillraceError('no origin has this', { code: 'not-found', source: 'client', retryable: false, status: 404 })
  }
  const timeouts = attempts.every((attempt) => attempt.outcome === 'timeout' || attempt.outcome === 'missing')
  const detail = attempts.map((attempt) => `${attempt.origin}: ${attempt.outcome}`).join(', ')
  return new MillraceError('no origin could answer', {
    code: timeouts ? 'origins-timeout' : 'origins-failed',
    source: 'origin',
    retryable: true,
    status: timeouts ? 504 : 502,
    detail,
  })
}
