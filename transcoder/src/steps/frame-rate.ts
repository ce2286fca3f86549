/** Frames per second as an exact fraction. */
export interface Rational {
  num: number
  den: number
}

/** The rates that cameras, films and broadcasts have. */
const STANDARD: Rational[] = [
  { num: 24_000, den: 1001 },
  { num: 24, den: 1 },
  { num: 25, den: 1 },
  { num: 30_000, den: 1001 },
  { num: 30, den: 1 },
  { num: 48, den: 1 },
  { num: 50, den: 1 },
  { num: 60_000, den: 1001 },
  { num: 60, den: 1 },
]
const SLOWEST_STANDARD = 20
const FASTEST_STANDARD = 66
const FASTEST_SANE = 240
const SLOWEST = 1

export const rateOf = (rate: Rational) => rate.num / rate.den

/** `30000/1001` as ffprobe writes it; undefined for 0/0 and nonsense. */
export function parseRational(text: string | undefined): Rational | undefined {
  const match = /^(\d{1,9})[/:](\d{1,9})$/.exec(text ?? '')
  const num = Number(match?.[1])
  const den = Number(match?.[2])
  return num > 0 && den > 0 ? reduce({ num, den }) : undefined
}

/**
 * The constant rate of the source's own class: 50 stays 50, 29.92 becomes 29.97, 120 is divided by a whole number to fit `cap`.
 *
 * @param average frames over duration.
 * @param base the lowest rate that hits every timestamp (ffmpeg's r_frame_rate): the same as `average` when constant, and absurdly
 *   high for some variable ones.
 */
export function chooseFrameRate(average: Rational | undefined, base: Rational | undefined, cap: number): Rational {
  const own = sourceRate(average, base)
  const divisor = Math.max(1, Math.ceil(rateOf(own) / (cap * 1.001)))
  return reduce({ num: own.num, den: own.den * divisor })
}

function sourceRate(average: Rational | undefined, base: Rational | undefined): Rational {
  const baseIsSane = base !== undefined && rateOf(base) <= FASTEST_SANE
  if (!average) return baseIsSane ? nearest(base) : { num: 25, den: 1 }
  const constant = baseIsSane && Math.abs(rateOf(base) / rateOf(average) - 1) < 0.01
  if (constant && rateOf(base) < SLOWEST_STANDARD) return rateOf(base) < SLOWEST ? { num: SLOWEST, den: 1 } : simple(base)
  // Long still stretches pull the average of a screen recording down: its moving parts have the base rate.
  if (!constant && baseIsSane && rateOf(average) < SLOWEST_STANDARD) return nearest(base)
  return nearest(average)
}

function nearest(rate: Rational): Rational {
  const value = rateOf(rate)
  if (value > FASTEST_STANDARD) return simple(rate)
  return STANDARD.reduce((best, next) => (Math.abs(rateOf(next) - value) < Math.abs(rateOf(best) - value) ? next : best))
}

/** A fraction that a timescale can hold: the rate itself, or its neighbour over 1001 or 1. */
function simple(rate: Rational): Rational {
  if (rate.num <= 60_000 && rate.den <= 1001) return rate
  const value = rateOf(rate)
  const film = { num: Math.round((value * 1001) / 1000) * 1000, den: 1001 }
  const whole = { num: Math.max(1, Math.round(value)), den: 1 }
  return film.num > 0 && Math.abs(rateOf(film) - value) < Math.abs(rateOf(whole) - value) ? film : whole
}

function reduce(rate: Rational): Rational {
  let [a, b] = [rate.num, rate.den]
  while (b > 0) [a, b] = [b, a % b]
  return { num: rate.num / a, den: rate.den / a }
}
