import fc from 'fast-check'
import { expect, test } from 'vitest'
import { peakBitrate, SegmentMeter } from './segments.js'

/** A track of frames of one duration, with key frames at these numbers. */
function measure(timescale: number, frame: number, frames: number, isKey: (number: number) => boolean, bytes = 100) {
  const meter = new SegmentMeter(timescale, 4)
  for (let at = 0; at < frames; at++) meter.add({ dts: at * frame, duration: frame, bytes, key: isKey(at) })
  return meter.finish()
}

test('a gap between key frames makes one long segment, not empty ones', () => {
  expect(measure(25, 1, 500, (at) => at === 0 || at === 300).segmentDurations).toEqual([12, 8])
})

test('a key frame a hair before the boundary doesn’t count: the next one does', () => {
  expect(measure(25, 1, 300, (at) => at % 99 === 0).segmentDurations).toEqual([7.92, 3.96, 0.12])
})

test('audio is cut at the first sample at or after each boundary', () => {
  const { segmentDurations, duration } = measure(48_000, 1024, 423, () => true)
  expect(segmentDurations.map((seconds) => Math.round((seconds * 48_000) / 1024))).toEqual([188, 187, 48])
  expect(duration).toBeCloseTo(9.024, 3)
})

test('keys forced by frame number at 29.97 give every boundary its own segment for hours', () => {
  const next = { n: 0 }
  const { segmentDurations } = measure(30_000, 1001, 30 * 3600 * 2, (at) => {
    const forced = at * 1001 >= next.n * 4 * 30_000
    if (forced) next.n++
    return forced
  })
  expect(segmentDurations).toHaveLength(Math.ceil((216_000 * 1001) / 30_000 / 4))
  expect(Math.min(...segmentDurations.slice(0, -1))).toBeGreaterThan(3.96)
  expect(Math.max(...segmentDurations)).toBeLessThan(4.04)
})

test('an empty track has no segment and no rate', () => {
  expect(new SegmentMeter(1, 4).finish()).toEqual({ duration: 0, segmentDurations: [], averageBitrate: 0, peakBitrate: 0, samples: 0 })
})

test('a short last segment doesn’t make the peak alone, and a short track has its average', () => {
  expect(peakBitrate([4, 4, 0.04], [4000, 4000, 4000], 4)).toBe(Math.ceil((8000 * 8) / 4.04))
  expect(peakBitrate([1], [1000], 4)).toBe(8000)
  expect(peakBitrate([10], [1000], 4)).toBe(800)
})

test('whatever the frames: segments together are the track, and none is empty', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ seconds: fc.integer({ min: 1, max: 300 }), bytes: fc.nat(100_000), key: fc.boolean() }), { minLength: 1 }),
      (frames) => {
        const meter = new SegmentMeter(100, 4)
        let dts = 0
        for (const { seconds, bytes, key } of frames) {
          meter.add({ dts, duration: seconds, bytes, key })
          dts += seconds
        }
        const { segmentDurations, duration } = meter.finish()
        expect(segmentDurations.reduce((sum, seconds) => sum + seconds, 0)).toBeCloseTo(duration, 6)
        expect(segmentDurations.every((seconds) => seconds > 0)).toBe(true)
      },
    ),
  )
})
