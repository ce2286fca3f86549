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

/** What became of a stale response: confirmed by a 304, replaced by another answer, or no origin gave one. */
export const REVALIDATION_OUTCOMES = ['confirmed', 'replaced', 'failed'] as const
export type RevalidationOutcome = (typeof REVALIDATION_OUTCOMES)[number]

/** Codes of answers that the edge gives by itself. `other` stands for any that is not listed. */
export const REFUSAL_CODES = [
  'bad-framing',
  'bad-path',
  'bad-route',
  'uri-too-long',
  'method-not-allowed',
  'not-found',
  'unknown-route',
  'video-deleted',
  'route-unsigned',
  'route-expired',
  'route-unknown-key',
  'route-bad-signature',
  'rate-limited',
  'edge-busy',
  'loop',
  'expectation-failed',
  'not-cached',
  'other',
] as const
export type RefusalCode = (typeof REFUSAL_CODES)[number]
