/** Ticks per second of everything that is served, whatever the source's timescale. */
export const TICKS_PER_SECOND = 90_000

/**
 * A time of the source in served ticks, rounded half up. Rounding absolute times keeps the error below one tick for ever; durations are
 * differences of these, so segments join without gap or overlap.
 */
export function toTicks(time: number, timescale: number): number {
  const seconds = Math.floor(time / timescale)
  // The whole seconds apart: time × 90,000 would leave the exact integers for long files with fine timescales.
  const rest = (time - seconds * timescale) * TICKS_PER_SECOND + Math.floor(timescale / 2)
  return seconds * TICKS_PER_SECOND + Math.floor(rest / timescale)
}
