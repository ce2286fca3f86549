import fc from 'fast-check'
import { expect, test } from 'vitest'
import { planLadder } from './ladder.js'

const rungs = [240, 360, 480, 720, 1080].map((size) => ({
  size,
  crf: 23,
  maxrateKbps: size * 4,
  bufsizeKbps: size * 8,
  profile: 'high' as const,
}))
const sizes = (width: number, height: number) => planLadder({ width, height }, rungs).map((rung) => `${rung.width}x${rung.height}`)

test.each([
  [1920, 1080, ['1920x1080', '1280x720', '854x480', '640x360', '426x240']],
  [1080, 1920, ['1080x1920', '720x1280', '480x854', '360x640', '240x426']],
  [3840, 2160, ['1920x1080', '1280x720', '854x480', '640x360', '426x240']],
  [853, 479, ['852x478', '642x360', '428x240']],
  [1440, 1088, ['1430x1080', '952x720', '636x480', '476x360', '318x240']],
  [120, 90, ['120x90']],
  [427, 240, ['426x240']],
  [1, 1, ['2x2']],
])('%i×%i', (width, height, expected) => {
  expect(sizes(width, height)).toEqual(expected)
})

test('a source between two rungs has its own size on top, with the settings of the next higher one', () => {
  expect(planLadder({ width: 853, height: 479 }, rungs)[0]).toMatchObject({ file: 'video-478p.mp4', sequence: 'v478', maxrateKbps: 1920 })
})

test('whatever the size: even, never enlarged, aspect kept, no two rungs alike, largest first', () => {
  const pixels = fc.integer({ min: 16, max: 8192 })
  fc.assert(
    fc.property(pixels, pixels, (width, height) => {
      const planned = planLadder({ width, height }, rungs)
      expect(planned.length).toBeGreaterThan(0)
      expect(new Set(planned.map((rung) => rung.file)).size).toBe(planned.length)
      for (const [at, rung] of planned.entries()) {
        expect([rung.width % 2, rung.height % 2]).toEqual([0, 0])
        expect(rung.width <= width && rung.height <= height).toBe(true)
        const short = Math.min(rung.width, rung.height)
        if (at > 0) expect(short).toBeLessThan(Math.min(planned[at - 1]!.width, planned[at - 1]!.height))
        const exact = (Math.max(width, height) * short) / Math.min(width, height)
        expect(Math.abs(Math.max(rung.width, rung.height) - exact)).toBeLessThanOrEqual(2 * Math.max(1, exact / short))
      }
    }),
  )
})
