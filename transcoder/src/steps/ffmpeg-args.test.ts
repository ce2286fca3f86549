import type { Preset } from '@millrace/common/contracts/transcode-job'
import { expect, test } from 'vitest'
import { ffmpegArgs, planEncode } from './ffmpeg-args.js'
import { type MediaFacts, readFacts } from './media-facts.js'

const preset: Preset = {
  name: 'p',
  version: 1,
  segmentDuration: 4,
  maxFrameRate: 60,
  x264Preset: 'veryfast',
  rungs: [{ size: 360, crf: 23, maxrateKbps: 900, bufsizeKbps: 1800, profile: 'high' }],
  audio: { bitrateKbpsPerChannel: 64, maxChannels: 2 },
}
const facts = (video: object = {}): MediaFacts =>
  readFacts({
    format: { format_name: 'mov,mp4,m4a,3gp,3g2,mj2', duration: '100' },
    streams: [
      {
        index: 0,
        codec_type: 'video',
        codec_name: 'h264',
        width: 1280,
        height: 720,
        avg_frame_rate: '30000/1001',
        r_frame_rate: '30000/1001',
        ...video,
      },
      { index: 2, codec_type: 'audio', codec_name: 'aac', channels: 2, sample_rate: '44100', tags: { language: 'eng' } },
      { index: 3, codec_type: 'subtitle', codec_name: 'subrip' },
    ],
  })
const args = (from: MediaFacts) => ffmpegArgs(planEncode(from, preset, { maxSeconds: 601, threads: 0 }), 'source', 'out')

test('the whole command line of a picture with sound and subtitles', () => {
  expect(args(facts())).toMatchSnapshot()
})

test('the input comes after its guard: one file, no demuxer that opens another', () => {
  const line = args(facts())
  expect(line.indexOf('-format_whitelist')).toBeLessThan(line.indexOf('-i'))
  const demuxers = line[line.indexOf('-format_whitelist') + 1]!.split(',')
  for (const name of ['hls', 'dash', 'concat', 'lavfi', 'image2', 'sdp', 'rtsp', 'tee']) expect(demuxers).not.toContain(name)
  expect(line[line.indexOf('-protocol_whitelist') + 1]).toBe('file')
})

test.each([
  [{ color_space: 'bt470bg' }, 'bt601'],
  [{ color_space: 'bt2020nc' }, 'bt2020'],
  [{ color_space: 'gbr' }, 'auto'],
  [{}, 'bt709'],
  [{ width: 640, height: 480 }, 'bt601'],
])('colours of %o are decoded by %s', (video, matrix) => {
  expect(planEncode(facts(video), preset, { maxSeconds: 1, threads: 0 }).video?.matrix).toBe(matrix)
})

test('sound alone has no picture’s options', () => {
  const audioOnly = { ...facts(), video: undefined, text: [] }
  expect(args(audioOnly)).not.toContain('libx264')
  expect(args(audioOnly).join(' ')).not.toContain('poster')
})

test('HDR is said to come out flat', () => {
  expect(planEncode(facts({ color_transfer: 'smpte2084' }), preset, { maxSeconds: 1, threads: 0 }).warnings).toMatchObject([
    { code: 'hdr-not-tone-mapped' },
  ])
})

test('the poster is looked for in the picture’s own time, however long the sound goes on', () => {
  expect(planEncode(facts({ duration: '2' }), preset, { maxSeconds: 601, threads: 0 }).video?.poster.at).toBeLessThan(2)
})
