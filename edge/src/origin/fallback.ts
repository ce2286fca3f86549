import { MillraceError } from '@millrace/common/errors'
import type { Attempt, AttemptOutcome } from './contract.js'

/** What an answer's status means to someone who can use `wanted`. A replica that isn't there is not a failure of its origin. */
export function outcomeOf(status: number, wanted: (status: number) => boolean): AttemptOutcome {
  if (wanted(status)) return 'ok'
  if (status === 404 || status === 410) return 'missing'
  return status >= 500 ? 'server-error' : 'rejected'
}

/** Whether an outcome counts against the origin's health. `busy` doesn't: it is this edge that has no connection left. */
export function isFailure(outcome: AttemptOutcome): boolean {
  return outcome === 'timeout' || outcome === 'unreachable' || outcome === 'server-error'
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
  const only = (...outcomes: AttemptOutcome[]) => attempts.length > 0 && attempts.every((attempt) => outcomes.includes(attempt.outcome))
  const fields = only('busy', 'missing')
    ? { code: 'origins-busy', status: 503 }
    : only('timeout', 'missing', 'busy')
      ? { code: 'origins-timeout', status: 504 }
      : { code: 'origins-failed', status: 502 }
  const detail = attempts.map((attempt) => `${attempt.origin}: ${attempt.outcome}`).join(', ')
  return new MillraceError('no origin could answer', { ...fields, source: 'origin', retryable: true, detail })
}
