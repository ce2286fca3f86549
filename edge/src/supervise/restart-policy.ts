export interface RestartLimits {
  /** So many deaths in a row, all before it was ready … */
  maxDeaths: number
  /** … within so long, in milliseconds: it can't start. Trying on as before would only hide why. */
  windowMs: number
  firstBackoffMs: number
  maxBackoffMs: number
}

export const RESTART_LIMITS: RestartLimits = { maxDeaths: 10, windowMs: 60_000, firstBackoffMs: 100, maxBackoffMs: 5000 }

export interface Death {
  /** In milliseconds, of any clock that doesn't jump. */
  at: number
  wasReady: boolean
}

export type RestartDecision = { kind: 'restart'; afterMs: number } | { kind: 'give-up' }

/**
 * What to do about a child that has died: at once the first time within the window, then more and more slowly.
 *
 * @param deaths of this child, oldest first, the one in question last
 */
export function decideRestart(deaths: readonly Death[], limits: RestartLimits): RestartDecision {
  const now = deaths.at(-1)?.at ?? 0
  const recent = deaths.filter((death) => now - death.at <= limits.windowMs)
  if (recent.length >= limits.maxDeaths && recent.slice(-limits.maxDeaths).every((death) => !death.wasReady)) return { kind: 'give-up' }
  if (recent.length <= 1) return { kind: 'restart', afterMs: 0 }
  return { kind: 'restart', afterMs: Math.min(limits.firstBackoffMs * 2 ** Math.min(recent.length - 2, 20), limits.maxBackoffMs) }
}
