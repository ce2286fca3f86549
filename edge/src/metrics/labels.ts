import type { FillOutcome } from '../keeper/fill-outcome.js'

/** Label values that no contract of another part lists: closed sets, so that every series is there from the start. */

/** What was done with a cache disk when it failed; `invalidate`: what an unsafe request made doubtful could not be told, or not saved. */
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
  'invalidate',
] as const
export type CacheOperation = (typeof CACHE_OPERATIONS)[number]

/** What a revalidation found: a 304, a new response, none any more, or no origin that answers. */
export const REVALIDATION_OUTCOMES = ['confirmed', 'replaced', 'gone', 'failed'] as const
export type RevalidationOutcome = (typeof REVALIDATION_OUTCOMES)[number]

/** What a fill of a stale response found, by how it ended. */
export const REVALIDATION_OF: Record<FillOutcome, RevalidationOutcome> = {
  revalidated: 'confirmed',
  stored: 'replaced',
  passed: 'replaced',
  outgrown: 'replaced',
  purged: 'replaced',
  'not-stored': 'replaced',
  missing: 'gone',
  failed: 'failed',
  broken: 'failed',
}

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
