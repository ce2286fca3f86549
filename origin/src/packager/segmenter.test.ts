import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Synthetic, syntheticMoov } from '../../test/synthetic-moov.js'
import { readSampleTable } from './sample-table.js'
import { cutSegments, durationsOf } from './segmenter.js'
import { toTicks } from './ticks.js'

const badMedia = expect.objectContaining({ code: 'bad-media' })

function cut(given: Omit<Synthetic, 'sizes'> & { count: number; size?: number }, segmentMs = 4000) {
  const { count, size = 10, ...rest } = given
  const media = rest.media ?? 'video'
  return cutSegments(readSampleTable(syntheticMoov({ ...rest, sizes: { constant: size, count } }), media, 2 ** 50), segmentMs)
}
const everyNth = (n: number, count: number) => Array.from({ length: Math.ceil(count / n) }, (_, i) => i * n + 1)

describe('refuses', () => {
  it('a video that does not begin with a key frame', () => {
    expect(() => cut({ timescale: 25, stts: [[100, 1]], count: 100, stss: [5, 50] })).toThrow(badMedia)
  })

  it('a video with an empty list of key frames', () => {
    expect(() => cut({ timescale: 25, stts: [[100, 1]], count: 100, stss: [] })).toThrow(badMedia)
  })

  it('samples without any duration', () => {
    expect(() => cut({ stts: [[10, 0]], count: 10 })).toThrow(badMedia)
  })

  it('a segment that a box could not name the size of', () => {
    expect(() => cut({ timescale: 25, stts: [[50, 1]], count: 50, stss: [1], size: 2 ** 26 })).toThrow(badMedia)
  })

  it('a segment longer than a box could say', () => {
    expect(() => cut({ timescale: 1, stts: [[50, 1000]], count: 50, stss: [1] })).toThrow(badMedia)
  })

  it('hours without a key frame', () => {
    expect(() => cut({ timescale: 25, stts: [[300_000, 1]], count: 300_000, stss: [1] })).toThrow(badMedia)
  })

  it.each([0, -1, 1, Number.NaN])('a segment duration of %d ms', (segmentMs) => {
    expect(() => cut({ stts: [[10, 3000]], count: 10 }, segmentMs)).toThrow(badMedia)
  })
})

describe('cuts', () => {
  it('at key frames only', () => {
    const starts = cut({ timescale: 25, stts: [[355, 1]], count: 355, stss: everyNth(50, 355) })
    expect(starts.map((start) => start.sample)).toEqual([0, 100, 200, 300, 355])
    expect(durationsOf(starts)).toEqual([4, 4, 4, 2.2])
  })

  it('at the first key frame after a boundary where none lies on it', () => {
    const starts = cut({ timescale: 25, stts: [[400, 1]], count: 400, stss: [1, 91, 121, 211, 301] })
    expect(starts.map((start) => start.sample)).toEqual([0, 120, 210, 300, 400])
  })

  it('one longer segment where a GOP covers several boundaries, and counts on without a gap', () => {
    const starts = cut({ timescale: 25, stts: [[500, 1]], count: 500, stss: [1, 301, 326, 401] })
    expect(starts.map((start) => start.sample)).toEqual([0, 300, 400, 500])
  })

  it('a video without a list of key frames anywhere', () => {
    const starts = cut({ timescale: 25, stts: [[250, 1]], count: 250 })
    expect(starts.map((start) => start.sample)).toEqual([0, 100, 200, 250])
  })

  it('audio at any sample', () => {
    const starts = cut({ media: 'audio', timescale: 44_100, stts: [[400, 1024]], count: 400 })
    expect(starts.map((start) => start.sample)).toEqual([0, 173, 345, 400])
  })

  it('variable frame rates by their times', () => {
    const starts = cut({
      timescale: 1000,
      stts: [
        [10, 500],
        [0, 7],
        [100, 10],
        [1, 2000],
      ],
      count: 111,
    })
    expect(starts.map((start) => [start.sample, start.dts])).toEqual([
      [0, 0],
      [8, 4000],
      [111, 8000],
    ])
  })

  it('no segment for a last key frame without duration', () => {
    const starts = cut({
      timescale: 25,
      stts: [
        [100, 1],
        [1, 0],
      ],
      count: 101,
      stss: [1, 101],
    })
    expect(starts.map((start) => start.sample)).toEqual([0, 101])
  })

  it('any track into segments of positive length that cover it, each starting by the rule', () => {
    const runs = fc.array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 4000 })), { minLength: 1, maxLength: 6 })
    const syncs = fc.uniqueArray(fc.integer({ min: 2, max: 360 }), { maxLength: 20 })
    fc.assert(
      fc.property(runs, syncs, fc.constantFrom(600, 1000, 12_800, 24_000, 30_000, 44_100), (stts, sync, timescale) => {
        const count = stts.reduce((sum, [samples]) => sum + samples, 0)
        const stss = [1, ...sync.filter((number) => number <= count)].sort((a, b) => a - b)
        const starts = cut({ timescale, stts, count, stss }, 2000)
        const dts = [0]
        for (const [samples, delta] of stts) for (let i = 0; i < samples; i++) dts.push(dts.at(-1)! + delta)
        const ruled = new Set<number>()
        for (let k = 0; (k * 2000 * timescale) / 1000 <= dts[count]!; k++) {
          const first = stss.find((number) => dts[number - 1]! * 1000 >= k * 2000 * timescale)
          if (first) ruled.add(first - 1)
        }
        expect(starts.slice(0, -1).map((start) => start.sample)).toEqual([...ruled])
        expect(starts.at(-1)).toMatchObject({ sample: count, dts: dts[count], bytes: count * 10 })
        for (const duration of durationsOf(starts)) expect(duration).toBeGreaterThan(0)
      }),
    )
  })
})

describe('ticks', () => {
  it('are exact where time × 90000 would not be', () => {
    const reference = (time: number, timescale: number) =>
      Number((BigInt(time) * 90_000n + BigInt(Math.floor(timescale / 2))) / BigInt(timescale))
    const time = fc.integer({ min: 0, max: 90_000_000_000 })
    fc.assert(
      fc.property(
        time,
        fc.integer({ min: 1, max: 10_000_000 }),
        (value, timescale) => toTicks(value, timescale) === reference(value, timescale),
      ),
    )
    expect(toTicks(7 * 86_400 * 10_000_000 - 1, 10_000_000)).toBe(reference(7 * 86_400 * 10_000_000 - 1, 10_000_000))
  })

  it('round half up, also before 0', () => {
    expect([toTicks(1, 180_000), toTicks(-1, 180_000), toTicks(-2, 180_000)]).toEqual([1, 0, -1])
  })
})
