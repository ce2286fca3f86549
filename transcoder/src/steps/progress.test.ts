import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ProgressParser } from './progress.js'

const feed = (text: string) => {
  const parser = new ProgressParser()
  return text.split('\n').flatMap((line) => parser.push(line) ?? [])
}

test('a block without a known time reports where the last one stood', () => {
  expect(feed('out_time_us=1500000\nprogress=continue\nout_time_us=N/A\nspeed=N/A\nprogress=end')).toEqual([
    { seconds: 1.5, frame: undefined, speed: undefined, end: false },
    { seconds: 1.5, frame: undefined, speed: undefined, end: true },
  ])
})

test('time never goes back, and is never before 0', () => {
  expect(
    feed('out_time_us=-23220\nprogress=continue\nout_time_us=3\nprogress=continue\nout_time_us=2\nprogress=continue').map(
      (report) => report.seconds,
    ),
  ).toEqual([0, 3e-6, 3e-6])
})

test('a whole block', () => {
  const block =
    'frame=390\nfps=0.00\nbitrate= 264.8kbits/s\ntotal_size=430713\nout_time_us=13013333\nout_time=00:00:13.013333\nspeed=18.1x\nprogress=continue'
  expect(feed(block)).toEqual([{ seconds: 13.013333, frame: 390, speed: 18.1, end: false }])
})

test('whatever lines come, every number in a report is finite and not negative', () => {
  const key = fc.constantFrom('out_time_us', 'frame', 'speed', 'progress', 'fps', '')
  const value = fc.oneof(fc.string(), fc.double().map(String), fc.constantFrom('N/A', '1e+03x', ' 12.5x', '1e-400', '9'.repeat(30)))
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.string(),
          fc.tuple(key, value).map(([k, v]) => `${k}=${v}`),
        ),
      ),
      (lines) => {
        for (const report of feed(lines.join('\n'))) {
          for (const number of [report.seconds, report.frame, report.speed]) {
            if (number !== undefined) expect(Number.isFinite(number) && number >= 0).toBe(true)
          }
        }
      },
    ),
  )
})
