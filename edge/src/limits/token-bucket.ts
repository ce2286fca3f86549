/**
 * A token bucket as one number, the time at which it would be full again (the generic cell rate algorithm, ITU-T I.371): nothing ticks,
 * nothing is stored for a bucket that is full, and a decision allocates nothing. Times in milliseconds.
 */
export interface BucketRate {
  /** Time in which one token comes back. */
  readonly msPerToken: number
  /** Tokens of a full bucket. */
  readonly burst: number
}

export function bucketRate(tokensPerSecond: number, burst: number): BucketRate {
  return { msPerToken: 1000 / tokensPerSecond, burst }
}

/** How long until `cost` tokens are there: 0 when they are there now. A cost above the burst is asked of a full bucket. */
export function waitFor(rate: BucketRate, fullAt: number, now: number, cost: number): number {
  const room = (rate.burst - Math.min(cost, rate.burst)) * rate.msPerToken
  const wait = debt(fullAt, now) - room
  return wait > EPSILON ? wait : 0
}

/** `fullAt` after `cost` tokens were taken, whether they were there or not. */
export function taken(rate: BucketRate, fullAt: number, now: number, cost: number): number {
  return now + debt(fullAt, now) + cost * rate.msPerToken
}

/** Tokens that are there. */
export function level(rate: BucketRate, fullAt: number, now: number): number {
  return rate.burst - debt(fullAt, now) / rate.msPerToken
}

/** Sums of fractions don't come out even. */
const EPSILON = 1e-6

function debt(fullAt: number, now: number): number {
  return fullAt > now ? fullAt - now : 0
}
