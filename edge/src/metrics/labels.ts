/** Label values that no contract of another part lists: closed sets, so that every series is there from the start. */

/** What was done with a cache disk when it failed. */
export const CACHE_OPERATIONS = [
  'open',
  'read',
  'look',
  'create',
  'write',
  'commit',
  'rewrite',
  'delete',
  'drop',
  'fill',
  'scan',
  'checkpoint',
  'probe',
  'purge-log',
] as const
export type CacheOperation = (typeof CACHE_OPERATIONS)[number]

/**
 * How a fill ended. `broken`: the origin or the disk failed in mid-body; `outgrown`: a body of unknown length was larger than
 * `cache.maxObject` or the room there was; `not-stored`: whole, but the disk didn't take it over; `purged`: a purge came in between.
 */
export const FILL_OUTCOMES = ['stored', 'passed', 'failed', 'broken', 'outgrown', 'not-stored', 'purged', 'revalidated'] as const
export type FillOutcome = (typeof FILL_OUTCOMES)[number]

/** What a revalidation found: a 304, a new response, none any more, or no origin that answers. */
export const REVALIDATION_OUTCOMES = ['confirmed', 'replaced', 'gone', 'failed'] as const
export type RevalidationOutcome = (typeof REVALIDATION_OUTCOMES)[number]

/** What became of the second of two attempts. */
export const HEDGE_OUTCOMES = ['won', 'lost', 'failed'] as const
export type HedgeOutcome = (typeof HEDGE_OUTCOMES)[number]

/** Whether a body that broke went on at another origin. */
export const CONTINUED_OUTCOMES = ['continued', 'mismatch', 'failed'] as const
export type ContinuedOutcome = (typeof CONTINUED_OUTCOMES)[number]

export const PREFETCH_OUTCOMES = ['started', 'stored', 'busy', 'over-budget'] as const
export type PrefetchOutcome = (typeof PREFETCH_OUTCOMES)[number]

/** Codes of answers that the edge gives by itself. `other` stands for any that is not listed. */
export const REFUSAL_CODES = [
  'bad-framing',
  'bad-path',
  'bad-route',
  'uri-too-long',
  'method-not-allowed',
  'not-found',
  'unknown-route',
  'gone',
  'route-unsigned',
  'route-expired',
  'route-unknown-key',
  'route-bad-signature',
  'rate-limited',
  'edge-busy',
  'loop',
  'other',
] as const
export type RefusalCode = (typeof REFUSAL_CODES)[number]
