import { type BucketRate, bucketRate, level, taken, waitFor } from './token-bucket.js'

/** Pieces smaller than this are not worth a send. */
const MIN_QUANTUM = 4096
/** A piece is what goes in this time: long against a tick of the wheel, short against a player's buffer. */
const QUANTUM_SECONDS = 0.05

export interface Pace {
  /** Bytes per second. */
  readonly rate: number
  /** Bytes that go at once before the rate holds, and again after the client has taken less than it might. */
  readonly burst: number
}

/** One transfer's bandwidth: it never has more than `burst` + `rate` × time behind it. Pure in the time that it is told. */
export class Pacer {
  readonly #bucket: BucketRate
  readonly #quantum: number
  #fullAt: number

  constructor(pace: Pace, now: number) {
    this.#quantum = Math.max(MIN_QUANTUM, Math.ceil(pace.rate * QUANTUM_SECONDS))
    // A bucket that could not hold what comes in while a transfer waits would lose rate to every late tick.
    const capacity = Math.max(pace.burst, 2 * this.#quantum)
    this.#bucket = bucketRate(pace.rate, capacity)
    this.#fullAt = taken(this.#bucket, now, now, capacity - pace.burst)
  }

  /** How many of the `wanted` bytes may go now; they count as gone. 0: come back after `wait`. */
  grant(wanted: number, now: number): number {
    if (this.wait(wanted, now) > 0) return 0
    const granted = Math.min(wanted, Math.floor(level(this.#bucket, this.#fullAt, now) + ROUNDING))
    this.#fullAt = taken(this.#bucket, this.#fullAt, now, granted)
    return granted
  }

  /** Milliseconds until `grant` gives a piece. */
  wait(wanted: number, now: number): number {
    return waitFor(this.#bucket, this.#fullAt, now, Math.min(wanted, this.#quantum))
  }
}

/** Floating point must not make 4096 bytes 4095. */
const ROUNDING = 1e-3
