import { expect, test } from 'vitest'
import { readFacts } from './media-facts.js'

const format = { format_name: 'mov,mp4,m4a,3gp,3g2,mj2', duration: '10.5' }
const video = {
  index: 0,
  codec_type: 'video',
  codec_name: 'h264',
  width: 1920,
  height: 1080,
  avg_frame_rate: '25/1',
  r_frame_rate: '25/1',
  disposition: { default: 1 },
}
const audio = {
  index: 1,
  codec_type: 'audio',
  codec_name: 'aac',
  channels: 2,
  sample_rate: '48000',
  disposition: {},
  tags: { language: 'ger' },
}

test.each([
  ['nothing', undefined],
  ['no streams', { format, streams: [] }],
  ['data only', { format, streams: [{ index: 0, codec_type: 'data' }] }],
  ['cover art only', { format, streams: [{ ...video, disposition: { attached_pic: 1 } }] }],
  ['a picture without a codec', { format, streams: [{ ...video, codec_name: undefined }] }],
])('%s is not media', (_, json) => {
  expect(() => readFacts(json)).toThrow(expect.objectContaining({ code: 'not-media', source: 'source-media', retryable: false }))
})

test('the picture is the default stream, else the largest; cover art is none', () => {
  const cover = { ...video, index: 5, width: 4000, height: 4000, disposition: { attached_pic: 1 } }
  const small = { ...video, index: 3, width: 640, height: 360, disposition: {} }
  const large = { ...video, index: 4, disposition: {} }
  expect(readFacts({ format, streams: [cover, small, large] }).video?.index).toBe(4)
  expect(readFacts({ format, streams: [cover, large, { ...small, disposition: { default: 1 } }] }).video?.index).toBe(3)
})

test.each([
  ['turned by 90°', { side_data_list: [{ side_data_type: 'Display Matrix', rotation: -90 }] }, [1080, 1920]],
  ['turned by 180°', { side_data_list: [{ rotation: 180 }] }, [1920, 1080]],
  ['anamorphic', { width: 720, height: 576, sample_aspect_ratio: '64:45' }, [1024, 576]],
  ['anamorphic and turned', { width: 720, height: 576, sample_aspect_ratio: '64:45', side_data_list: [{ rotation: 90 }] }, [576, 1024]],
  ['of unknown sample aspect', { sample_aspect_ratio: '0:1' }, [1920, 1080]],
])('a picture %s has the size at which it is shown', (_, fields, [width, height]) => {
  expect(readFacts({ format, streams: [{ ...video, ...fields }] }).video).toMatchObject({ width, height })
})

test('bitmap subtitles and sounds that can’t be decoded are warnings, not failures', () => {
  const bitmap = { index: 2, codec_type: 'subtitle', codec_name: 'hdmv_pgs_subtitle' }
  const silent = { ...audio, index: 3, channels: 0 }
  const facts = readFacts({ format, streams: [video, audio, bitmap, silent] })
  expect(facts.warnings.map((warning) => warning.code)).toEqual(['subtitles-skipped', 'audio-skipped'])
  expect([facts.audio.length, facts.text.length]).toEqual([1, 0])
})

test('a track of chapters doesn’t make a source longer, and a bare stream’s length is a guess', () => {
  const chapters = { index: 2, codec_type: 'data', duration: '99' }
  const facts = readFacts({
    format: { ...format, duration: '99' },
    streams: [{ ...video, duration: '10' }, { ...audio, duration: '11' }, chapters],
  })
  expect(facts).toMatchObject({ duration: 11, durationIsGuess: false })
  expect(readFacts({ format: { format_name: 'aac', duration: '99' }, streams: [audio] }).durationIsGuess).toBe(true)
})

test('without a duration of the container the streams tell it', () => {
  expect(readFacts({ format: { format_name: 'matroska,webm' }, streams: [{ ...video, duration: '7.25' }] }).duration).toBe(7.25)
  expect(readFacts({ format: { format_name: 'matroska,webm', duration: 'N/A' }, streams: [video] }).duration).toBeUndefined()
})

test.each([
  [{ channels: 10 }, false],
  [{ channels: 12, channel_layout: '12 channels' }, false],
  [{ channels: 16, channel_layout: 'hexadecagonal' }, true],
  [{ channels: 6 }, true],
])('sound of %o can be mixed: %s', (fields, mixable) => {
  const facts = readFacts({ format, streams: [{ ...audio, ...fields }] })
  expect(facts.audio[0]?.mixable).toBe(mixable)
  expect(facts.warnings.map(({ code }) => code)).toEqual(mixable ? [] : ['audio-not-mixed'])
})
