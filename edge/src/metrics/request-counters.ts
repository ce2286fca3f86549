import { CACHE_PHASES, type CachePhase } from '@millrace/common/contracts/edge-api'
import { type Decision, REQUEST_CLASSES, type RequestClass, TIERS, type Tier } from '../phase.js'
import { SECONDS_BUCKETS } from './declare.js'
import { REFUSAL_CODES, type RefusalCode } from './labels.js'
import type { Observations } from './ready-histogram.js'

/**
 * Counts answered requests. This runs once per request at some hundred thousand a second, where a metrics library's look-up by labels
 * would take as long as the answer: so numbers in arrays, by position in the label sets; a scrape reads them.
 *
 * Counts are doubles: exact up to 2^53, where 32 bits would wrap within a day.
 */
export class RequestCounters {
  readonly #requests = new Float64Array(CACHE_PHASES.length * REQUEST_CLASSES.length)
  readonly #answers = new Float64Array(TIERS.length)
  readonly #bytes = new Float64Array(TIERS.length)
  readonly #head = new Float64Array(CACHE_PHASES.length * HEAD_BUCKETS)
  readonly #headSeconds = new Float64Array(CACHE_PHASES.length)
  readonly #refusals = new Float64Array(REFUSAL_CODES.length)

  /**
   * @param bytes of the body, as handed over
   * @param headMs from the request's arrival to the answer's head; undefined when none was sent
   */
  count(decision: Decision, bytes: number, headMs: number | undefined): void {
    const phase = PHASE_INDEX.get(decision.phase)!
    const tier = TIER_INDEX.get(decision.tier)!
    this.#requests[phase * REQUEST_CLASSES.length + CLASS_INDEX.get(decision.class)!]!++
    this.#answers[tier]!++
    this.#bytes[tier]! += bytes
    if (headMs === undefined) return
    let bucket = 0
    while (bucket < BOUNDS_MS.length && headMs > BOUNDS_MS[bucket]!) bucket++
    this.#head[phase * HEAD_BUCKETS + bucket]!++
    this.#headSeconds[phase]! += headMs / 1000
  }

  /** The edge's own "no"; a code that is not in the closed set counts as `other`. */
  refused(code: string): void {
    this.#refusals[REFUSAL_INDEX.get(code) ?? OTHER]!++
  }

  *requests(): Generator<{ phase: CachePhase; class: RequestClass; value: number }> {
    let i = 0
    for (const phase of CACHE_PHASES) for (const name of REQUEST_CLASSES) yield { phase, class: name, value: this.#requests[i++]! }
  }

  *tiers(): Generator<{ tier: Tier; answers: number; bytes: number }> {
    for (const [i, tier] of TIERS.entries()) yield { tier, answers: this.#answers[i]!, bytes: this.#bytes[i]! }
  }

  *refusals(): Generator<{ code: RefusalCode; value: number }> {
    for (const [i, code] of REFUSAL_CODES.entries()) yield { code, value: this.#refusals[i]! }
  }

  *headSeconds(): Generator<Observations<'phase'>> {
    for (const [i, phase] of CACHE_PHASES.entries()) {
      const buckets = this.#head.subarray(i * HEAD_BUCKETS, (i + 1) * HEAD_BUCKETS)
      yield { labels: { phase }, buckets, sum: this.#headSeconds[i]! }
    }
  }
}

const BOUNDS_MS = SECONDS_BUCKETS.map((seconds) => seconds * 1000)
const HEAD_BUCKETS = BOUNDS_MS.length + 1
const PHASE_INDEX = indexOf(CACHE_PHASES)
const CLASS_INDEX = indexOf(REQUEST_CLASSES)
const TIER_INDEX = indexOf(TIERS)
const REFUSAL_INDEX: ReadonlyMap<string, number> = indexOf(REFUSAL_CODES)
const OTHER = REFUSAL_CODES.indexOf('other')

function indexOf<T extends string>(set: readonly T[]): ReadonlyMap<T, number> {
  return new Map(set.map((value, i) => [value, i]))
}
