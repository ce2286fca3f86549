import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Asset, AudioFile, TextFile, VideoFile } from '@millrace/common/contracts/asset'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Clips, createClips, FAST, picture, probeFile, tone } from './support/clips.js'
import { type Fleet, startFleet } from './support/fleet.js'

let fleet: Fleet
let clips: Clips

beforeAll(async () => {
  fleet = await startFleet()
  clips = await createClips()
  await fleet.startWorker('t1')
})
afterAll(async () => {
  await fleet?.stop()
  await clips?.remove()
})

/** Sends a clip through a whole job. @returns its asset, its files by role, and where they are. */
async function transcode(path: string) {
  const placement = { origins: [fleet.origins[0].target], replicas: 1, minReplicas: 1 }
  const end = await fleet.run(await fleet.sources.storeFile(path), { placement })
  if (end.type !== 'published') throw new Error(`ended as ${JSON.stringify(end)}`)
  const asset: Asset = end.asset
  const folder = fleet.origins[0].assetFolder(end.videoId, end.rev)
  return {
    asset,
    video: asset.files.filter((file): file is VideoFile => file.role === 'video'),
    audio: asset.files.filter((file): file is AudioFile => file.role === 'audio'),
    text: asset.files.filter((file): file is TextFile => file.role === 'text'),
    path: (file: { name: string }) => join(folder, file.name),
  }
}

const sizes = (files: VideoFile[]) => files.map((file) => `${file.width}x${file.height}`)

/** First packets and decoded times as the packager sees them: edit lists ignored. */
async function startOf(path: string): Promise<number> {
  const { stdout } = await execa('ffprobe', [
    '-v',
    'error',
    '-ignore_editlist',
    '1',
    '-show_entries',
    'packet=dts',
    '-read_intervals',
    '%+#1',
    '-of',
    'csv=p=0',
    path,
  ])
  return Number.parseInt(stdout, 10)
}

/** Seconds at which the sound begins, edit lists ignored. */
async function onsetOf(path: string): Promise<number> {
  const { stderr } = await execa('ffmpeg', [
    '-hide_banner',
    '-ignore_editlist',
    '1',
    '-i',
    path,
    '-af',
    'silencedetect=noise=-30dB:d=0.1',
    '-f',
    'null',
    '-',
  ])
  return Number(/silence_end: ([\d.]+)/.exec(stderr)?.[1] ?? 0)
}

/** PSNR in dB of the brightness against the source as ffmpeg shows it; a picture turned the wrong way has about 10. */
async function likeness(source: string, made: string, size: { width: number; height: number }): Promise<number> {
  const graph = `[0:v]scale=${size.width}:${size.height}:out_color_matrix=bt709,format=yuv420p,setsar=1[s];[1:v][s]psnr`
  const { stderr } = await execa('ffmpeg', ['-hide_banner', '-i', source, '-i', made, '-filter_complex', graph, '-f', 'null', '-'])
  return Number(/PSNR y:([\d.]+)/.exec(stderr)?.[1])
}

test.each([
  { input: 'rotated by 90°', size: '320x180', filter: '', second: '-c copy -metadata:s:v:0 rotate=90', expected: ['180x320', '90x160'] },
  { input: 'rotated by 180°', size: '320x180', filter: '', second: '-c copy -metadata:s:v:0 rotate=180', expected: ['320x180', '160x90'] },
  { input: 'portrait', size: '180x320', filter: '', expected: ['180x320', '90x160'] },
  { input: 'square', size: '200x200', filter: '', expected: ['180x180', '90x90'] },
  { input: 'of odd size', size: '213x119', filter: '', expected: ['212x118', '162x90'] },
  { input: 'smaller than the lowest rung', size: '120x68', filter: '', expected: ['120x68'] },
  { input: 'anamorphic', size: '160x180', filter: '-vf setsar=2/1', expected: ['320x180', '160x90'] },
  { input: '4:3', size: '240x180', filter: '', expected: ['240x180', '120x90'] },
])('a picture that is $input comes out upright, with square pixels and even sizes', async ({ input, size, filter, second, expected }) => {
  const name = input.replace(/\W+/g, '-')
  let clip = await clips.make(`${name}.mkv`, `${picture(size, '25', 1)} ${filter} -c:v libx264 -preset ultrafast -pix_fmt yuv444p`)
  if (second) {
    const upright = await clips.make(`${name}.mp4`, `-i ${clip} -c copy`)
    clip = await clips.make(`${name}-2.mp4`, `-i ${upright} ${second}`)
  }
  const { video, path } = await transcode(clip)
  expect(sizes(video)).toEqual(expected)
  for (const file of video) {
    const [stream] = (await probeFile(path(file))).streams
    expect(stream).toMatchObject({
      width: file.width,
      height: file.height,
      sample_aspect_ratio: '1:1',
      color_range: 'tv',
      color_space: 'bt709',
    })
    expect(stream?.side_data_list).toBeUndefined()
    expect(await likeness(clip, path(file), file)).toBeGreaterThan(20)
  }
})

test('a variable frame rate comes out constant, as long as the source', async () => {
  const clip = await clips.make(
    'vfr.mp4',
    `${picture('320x180', '30', 6)} ${tone(6)} -vf select=not(between(mod(n\\,60)\\,10\\,45)) -fps_mode vfr ${FAST}`,
  )
  const { video, audio, asset } = await transcode(clip)
  expect(video[0]!.duration).toBeCloseTo(6, 0)
  expect(video[0]!.segmentDurations).toHaveLength(2)
  expect(audio[0]!.duration).toBeCloseTo(6, 1)
  expect(asset.warnings).toEqual([])
})

test.each(['24000/1001', '30000/1001', '25', '50', '60000/1001'])(
  'at %s frames per second every rung is cut at the same frames, each segment at its time',
  async (rate) => {
    const clip = await clips.make(`r${rate.replace('/', '-')}.mp4`, `${picture('160x180', rate, 13)} ${FAST}`)
    const { video } = await transcode(clip)
    const [num, den] = rate.split('/').map(Number)
    expect(video[0]!.frameRate).toEqual({ num, den: den ?? 1 })
    expect(video).toHaveLength(2)
    expect(video[1]!.segmentDurations).toEqual(video[0]!.segmentDurations)
    expect(video[0]!.segmentDurations).toHaveLength(4)
    const frame = (den ?? 1) / num!
    video[0]!.segmentDurations.slice(0, 3).reduce((start, seconds, at) => {
      const boundary = start + seconds - 4 * (at + 1)
      expect(boundary).toBeGreaterThanOrEqual(-1e-9)
      expect(boundary).toBeLessThan(frame)
      return start + seconds
    }, 0)
  },
)

test('no audio: a video-only asset', async () => {
  const { asset, video, audio } = await transcode(await clips.make('mute.mp4', `${picture('160x90', '25', 1)} ${FAST}`))
  expect([video.length, audio.length]).toEqual([1, 0])
  expect(asset.files.at(-1)).toMatchObject({ role: 'poster', width: 160, height: 90 })
})

test('audio only, with cover art: an audio-only asset', async () => {
  const cover = await clips.make('cover.jpg', `${picture('100x100', '1', 1)} -frames:v 1`)
  const clip = await clips.make('song.mp3', `${tone(3)} -i ${cover} -map 0 -map 1 -c:a libmp3lame -c:v copy -disposition:v attached_pic`)
  const { asset, audio } = await transcode(clip)
  expect(asset.files).toHaveLength(1)
  expect(audio[0]).toMatchObject({ codecs: 'mp4a.40.2', channels: 1, sampleRate: 48_000, default: true, name: 'audio-und.mp4' })
})

test('a sound track without a sound is left out with a warning', async () => {
  const whole = await clips.make('whole.mkv', `${picture('160x90', '25', 2)} ${tone(2)} ${FAST}`)
  const clip = await clips.make('silent-track.mkv', `-i ${whole} -c copy -bsf:a noise=drop=1`)
  const { asset, audio } = await transcode(clip)
  expect(audio).toEqual([])
  expect(asset.warnings).toMatchObject([{ code: 'audio-skipped' }])
})

test('several languages, 5.1 and a commentary: a track each, with label and default', async () => {
  const clip = await clips.make(
    'languages.mkv',
    `${picture('160x90', '25', 2)} ${tone(2)} ${tone(2, 880)} ${tone(2, 660)} -map 0 -map 1 -map 2 -map 3 -ac:a:1 6 ${FAST}
     -metadata:s:a:0 language=eng -metadata:s:a:1 language=fre -metadata:s:a:2 language=eng -metadata:s:a:2 title=Commentary
     -disposition:a:0 0 -disposition:a:1 default`,
  )
  const { audio, path } = await transcode(clip)
  expect(audio.map(({ name, sequence, language, label, channels }) => ({ name, sequence, language, label, channels }))).toEqual([
    { name: 'audio-eng.mp4', sequence: 'aeng', language: 'eng', label: 'English', channels: 1 },
    { name: 'audio-fra.mp4', sequence: 'afra', language: 'fra', label: 'Français', channels: 2 },
    { name: 'audio-eng-2.mp4', sequence: 'aeng2', language: 'eng', label: 'Commentary', channels: 1 },
  ])
  expect(audio.map((file) => file.default)).toEqual([false, true, false])
  expect((await probeFile(path(audio[1]!))).streams[0]).toMatchObject({ codec_name: 'aac', channels: 2 })
})

test('more channels than any layout has: the first ones are kept, with a warning', async () => {
  const voices = Array.from({ length: 10 }, (_, at) => `sin(${440 + at}*2*PI*t)`).join('|')
  const clip = await clips.make(
    'channels.mov',
    `${picture('160x90', '25', 1)} -f lavfi -i aevalsrc=${voices}:d=1:s=48000 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a pcm_s16le`,
  )
  const { asset, audio } = await transcode(clip)
  expect(audio.map(({ channels }) => channels)).toEqual([2])
  expect(asset.warnings).toMatchObject([{ code: 'audio-not-mixed' }])
})

test('a recording whose picture and channels change in the middle comes out in one piece, in time', async () => {
  const part = (name: string, size: string, channels: number, frequency: number, offset: number) =>
    clips.make(name, `${picture(size, '25', 3)} ${tone(3, frequency)} ${FAST} -c:a ac3 -ac ${channels} -output_ts_offset ${offset}`)
  const parts = [await part('one.ts', '320x180', 2, 440, 0), await part('two.ts', '160x120', 6, 880, 3)]
  const clip = join(clips.folder, 'changing.ts')
  await writeFile(clip, Buffer.concat(await Promise.all(parts.map((path) => readFile(path)))))
  const { video, audio, path } = await transcode(clip)
  expect(video[0]!.duration).toBeCloseTo(6, 1)
  expect(audio[0]!.duration).toBeCloseTo(6, 1)
  // No sample is squeezed into the time of others.
  const { stdout } = await execa('ffprobe', ['-v', 'error', '-show_entries', 'packet=duration', '-of', 'csv=p=0', path(audio[0]!)])
  const durations = stdout.trim().split('\n').map(Number.parseFloat)
  expect(durations.slice(0, -1).every((duration) => duration === 1024)).toBe(true)
  expect(durations.length).toBeLessThan((6.2 * 48_000) / 1024)
})

test('text subtitles become WebVTT tracks with their language', async () => {
  const srt = join(clips.folder, 'a.srt')
  await writeFile(srt, '1\n00:00:00,500 --> 00:00:01,500\nGuten Tag\n')
  const clip = await clips.make(
    'subs.mkv',
    `${picture('160x90', '25', 2)} -i ${srt} -i ${srt} -map 0 -map 1 -map 2 ${FAST} -c:s:0 srt -c:s:1 ass -metadata:s:s:0 language=ger -metadata:s:s:1 language=ger -disposition:s:1 forced`,
  )
  const { text, path } = await transcode(clip)
  expect(text.map(({ name, sequence, label, forced }) => ({ name, sequence, label, forced }))).toEqual([
    { name: 'text-deu.vtt', sequence: 'sdeu', label: 'Deutsch', forced: false },
    { name: 'text-deu-2.vtt', sequence: 'sdeu2', label: 'Deutsch 2', forced: true },
  ])
  for (const file of text) expect(await readFile(path(file), 'utf8')).toMatch(/^WEBVTT\n\n00:00\.500 --> 00:01\.500\nGuten Tag/)
})

test('sound that starts late stays where it belongs, and both tracks start at 0', async () => {
  const clip = await clips.make('late.mkv', `${picture('160x90', '25', 3)} -itsoffset 0.5 ${tone(2)} -map 0 -map 1 ${FAST}`)
  const { video, audio, path } = await transcode(clip)
  expect(await startOf(path(video[0]!))).toBe(0)
  expect(await startOf(path(audio[0]!))).toBe(0)
  expect(Math.abs((await onsetOf(path(audio[0]!))) - 0.5)).toBeLessThan(0.02)
})

test('a picture that starts late is held from 0 on', async () => {
  const clip = await clips.make('late-picture.mkv', `${tone(3)} -itsoffset 1 ${picture('160x90', '25', 2)} -map 1 -map 0 ${FAST}`)
  const { video, path } = await transcode(clip)
  expect(await startOf(path(video[0]!))).toBe(0)
  expect(video[0]!.duration).toBeCloseTo(3, 1)
})

test('full-range colours become limited range without a shift', async () => {
  const clip = await clips.make(
    'full.mkv',
    `-f lavfi -i color=white:size=160x90:rate=25:duration=1 -vf scale=out_range=full,format=yuvj420p -c:v libx264 -preset ultrafast -color_range pc`,
  )
  const { video, path } = await transcode(clip)
  const { stdout } = await execa(
    'ffmpeg',
    ['-v', 'error', '-i', path(video[0]!), '-frames:v', '1', '-pix_fmt', 'yuv420p', '-f', 'rawvideo', '-'],
    { encoding: 'buffer' },
  )
  expect(stdout[1000]).toBeGreaterThanOrEqual(233)
  expect(stdout[1000]).toBeLessThanOrEqual(236)
})
