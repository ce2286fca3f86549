import { MAX_SEQUENCES, sequenceIdSchema } from '@millrace/common/contracts/ids'
import { FILE_NAME } from '@millrace/common/contracts/media-url'
import type { Preset } from '@millrace/common/contracts/transcode-job'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { languageOf } from './language.js'
import type { AudioFacts } from './media-facts.js'
import { outputSampleRate, planTracks } from './tracks.js'

const preset: Preset = {
  name: 'p',
  version: 1,
  segmentDuration: 4,
  maxFrameRate: 60,
  x264Preset: 'medium',
  rungs: [],
  audio: { bitrateKbpsPerChannel: 64, maxChannels: 2 },
}
const sound = (fields: Partial<AudioFacts> = {}): AudioFacts => ({
  index: 1,
  language: 'und',
  title: undefined,
  default: false,
  channels: 2,
  mixable: true,
  sampleRate: 48_000,
  ...fields,
})

test('tracks above what an asset may have are dropped with a warning, text first', () => {
  const text = [{ index: 90, language: 'eng', title: undefined, default: false, forced: false }]
  const plan = planTracks({ audio: Array.from({ length: 40 }, () => sound()), text }, 5, preset)
  expect(plan.audio).toHaveLength(MAX_SEQUENCES - 5)
  expect(plan.text).toEqual([])
  expect(plan.warnings).toMatchObject([{ code: 'tracks-dropped' }])
})

test('without a default in the source the first track is it', () => {
  expect(planTracks({ audio: [sound(), sound()], text: [] }, 1, preset).audio.map((track) => track.default)).toEqual([true, false])
})

test('5.1 is mixed down to what the preset allows, mono stays mono', () => {
  const { audio } = planTracks({ audio: [sound({ channels: 6 }), sound({ channels: 1 })], text: [] }, 1, preset)
  expect(audio.map((track) => [track.channels, track.bitrateKbps])).toEqual([
    [2, 128],
    [1, 64],
  ])
})

test.each([
  [8000, 48_000],
  [22_050, 44_100],
  [96_000, 48_000],
  [44_100, 44_100],
])('%i Hz becomes %i Hz', (given, expected) => {
  expect(outputSampleRate(given)).toBe(expected)
})

test('whatever languages and titles a source has: names, ids and labels are valid and unique', () => {
  const stream = fc.record({
    language: fc.oneof(fc.string(), fc.constantFrom('eng', 'fre', 'zh-hans', 'en-us', 'enus')),
    title: fc.option(fc.string(), { nil: undefined }),
  })
  fc.assert(
    fc.property(fc.array(stream, { maxLength: 20 }), (streams) => {
      const { audio } = planTracks(
        { audio: streams.map(({ language, title }) => sound({ language: languageOf(language), title })), text: [] },
        1,
        preset,
      )
      for (const key of ['file', 'sequence', 'label'] as const) expect(new Set(audio.map((track) => track[key])).size).toBe(audio.length)
      for (const track of audio) {
        expect(track.file).toMatch(FILE_NAME)
        expect(sequenceIdSchema.safeParse(track.sequence).success).toBe(true)
        expect(track.label).toMatch(/^[^"\n\r]+$/)
      }
    }),
  )
})
