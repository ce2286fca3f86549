import type { Preset } from '@millrace/common/contracts/transcode-job'
import { chooseFrameRate, type Rational } from './frame-rate.js'
import { planLadder, type VideoRung } from './ladder.js'
import type { MediaFacts, VideoFacts, Warning } from './media-facts.js'
import { inputGuard } from './probe.js'
import { type AudioTrack, planTracks, type TextTrack } from './tracks.js'

/** Everything one ffmpeg run is to make, as data. */
export interface EncodePlan {
  format: string
  video: VideoPlan | undefined
  audio: AudioTrack[]
  text: TextTrack[]
  /** Seconds of one segment: where every rung has a key frame. */
  segmentDuration: number
  x264Preset: Preset['x264Preset']
  /** Nothing beyond this many seconds is read, whatever timestamps the source has. */
  maxSeconds: number
  threads: number
  warnings: Warning[]
}

export interface VideoPlan {
  streamIndex: number
  frameRate: Rational
  /** The matrix to decode by, in the names of ffmpeg's scale filter. */
  matrix: string
  rungs: VideoRung[]
  poster: { file: string; at: number; width: number; height: number }
}

const POSTER_WIDTH = 1280
const POSTER_AT_MOST = 5
/**
 * What an AAC encoder plays before the sound (one frame). The packager ignores edit lists, so that the sound would be late by it; instead
 * it takes the place of the first frame's sound: the first sample lies at 0 and nothing has to be skipped.
 */
const AAC_PRIMING = 1024

export function planEncode(facts: MediaFacts, preset: Preset, options: { maxSeconds: number; threads: number }): EncodePlan {
  const video = facts.video && planVideo(facts.video, facts.video.duration ?? facts.duration, preset)
  const tracks = planTracks(facts, video?.rungs.length ?? 0, preset)
  const hdr = facts.video?.transfer === 'smpte2084' || facts.video?.transfer === 'arib-std-b67'
  return {
    format: facts.format,
    video,
    audio: tracks.audio,
    text: tracks.text,
    segmentDuration: preset.segmentDuration,
    x264Preset: preset.x264Preset,
    maxSeconds: options.maxSeconds,
    threads: options.threads,
    warnings: [
      ...facts.warnings,
      ...tracks.warnings,
      ...(hdr ? [{ code: 'hdr-not-tone-mapped', detail: `the source is HDR (${facts.video?.transfer}); its colours come out flat` }] : []),
    ],
  }
}

function planVideo(video: VideoFacts, duration: number | undefined, preset: Preset): VideoPlan {
  const shrink = Math.min(1, POSTER_WIDTH / video.width)
  const even = (pixels: number) => Math.max(2, 2 * Math.round((pixels * shrink) / 2))
  return {
    streamIndex: video.index,
    frameRate: chooseFrameRate(video.average, video.base, preset.maxFrameRate),
    matrix: matrixOf(video),
    rungs: planLadder(video, preset.rungs),
    poster: {
      file: 'poster.jpg',
      at: posterTime(duration ?? 0),
      width: even(video.width),
      height: even(video.height),
    },
  }
}

/** Past a tenth, where titles have faded in; very short clips have only a beginning. */
function posterTime(duration: number): number {
  return duration < 1 ? 0 : Math.min(POSTER_AT_MOST, Math.floor(duration * 100) / 1000)
}

/** Untagged pictures follow the custom of their size: BT.709 from 720 lines or 1280 columns on, else BT.601. */
function matrixOf(video: VideoFacts): string {
  switch (video.matrix) {
    case 'gbr':
      return 'auto'
    case 'bt709':
    case 'fcc':
    case 'smpte240m':
      return video.matrix
    case 'bt2020nc':
    case 'bt2020c':
      return 'bt2020'
    case 'smpte170m':
    case 'bt470bg':
      return 'bt601'
    default:
      return Math.min(video.width, video.height) >= 720 || Math.max(video.width, video.height) >= 1280 ? 'bt709' : 'bt601'
  }
}

/** The command line: the source is decoded once, every rung, audio track, text track and the poster come from that. */
export function ffmpegArgs(plan: EncodePlan, input: string, outFolder: string): string[] {
  const out = (file: string) => `file:${outFolder}/${file}`
  return [
    ...['-nostdin', '-hide_banner', '-v', 'error', '-y', '-stats_period', '0.25', '-progress', 'pipe:1'],
    ...inputGuard(plan.format),
    ...['-t', String(plan.maxSeconds), '-i', `file:${input}`],
    // A graph each: ffmpeg builds a graph anew where its stream changes in the middle (size, channels), and the others must not suffer.
    ...filterGraphs(plan).flatMap((graph) => ['-filter_complex', graph]),
    ...(plan.video ? videoOutputs(plan, plan.video, out) : []),
    ...plan.audio.flatMap((track, at) => audioOutput(track, at, out)),
    ...plan.text.flatMap((track) => ['-map', `0:${track.streamIndex}`, ...CLEAN, '-c:s', 'webvtt', '-f', 'webvtt', out(track.file)]),
  ]
}

const CLEAN = ['-map_metadata', '-1', '-map_chapters', '-1']
const MP4 = ['-movflags', '+faststart', '-f', 'mp4']

function filterGraphs(plan: EncodePlan): string[] {
  return [...(plan.video ? [videoGraph(plan.video)] : []), ...plan.audio.map(audioGraph)]
}

/**
 * One constant rate, before the split: every rung has the same frames. What is missing before the first frame is filled at the output
 * (`-fps_mode cfr`): here it would be filled again, from 0, each time the graph is built anew.
 */
function videoGraph({ streamIndex, frameRate, matrix, rungs, poster }: VideoPlan): string {
  const outputs = rungs.map((_, at) => `[s${at}]`).join('')
  return [
    `[0:${streamIndex}]fps=${frameRate.num}/${frameRate.den},split=${rungs.length + 1}${outputs}[sp]`,
    ...rungs.map((rung, at) => `[s${at}]${scale(rung, matrix, 'limited')},format=yuv420p,setsar=1[v${at}]`),
    `[sp]trim=start=${poster.at},select='eq(n,0)',${scale(poster, matrix, 'full')},format=yuvj420p,setsar=1[poster]`,
  ].join(';')
}

/** Sound begins at 0, padded where it starts late. */
function audioGraph(track: AudioTrack, at: number): string {
  const channels = Array.from({ length: track.channels }, (_, channel) => `c${channel}=c${channel}`)
  const first = track.mixable ? '' : `pan=${track.channels}c|${channels.join('|')},`
  return `[0:${track.streamIndex}]${first}aresample=${track.sampleRate}:async=1:first_pts=0,atrim=start_sample=${AAC_PRIMING}[a${at}]`
}

function scale(size: { width: number; height: number }, matrix: string, range: 'limited' | 'full'): string {
  // JPEG is BT.601 by its definition (JFIF), video is tagged as BT.709.
  const target = range === 'full' ? 'bt601' : 'bt709'
  return `scale=${size.width}:${size.height}:flags=lanczos+accurate_rnd:in_color_matrix=${matrix}:out_color_matrix=${target}:out_range=${range}`
}

function videoOutputs(plan: EncodePlan, video: VideoPlan, out: (file: string) => string): string[] {
  const rungs = video.rungs.flatMap((rung, at) => [
    ...['-map', `[v${at}]`, ...CLEAN, '-fps_mode', 'cfr'],
    ...['-c:v', 'libx264', '-preset', plan.x264Preset, '-profile:v', rung.profile],
    ...['-crf', String(rung.crf), '-maxrate', `${rung.maxrateKbps}k`, '-bufsize', `${rung.bufsizeKbps}k`],
    ...(rung.profile === 'baseline' ? ['-bf', '0'] : ['-bf', '2']),
    ...keyFrames(video.frameRate, plan.segmentDuration),
    ...(plan.threads > 0 ? ['-threads', String(plan.threads)] : []),
    ...['-color_range', 'tv', '-colorspace', 'bt709', '-color_primaries', 'bt709', '-color_trc', 'bt709'],
    ...[...MP4, out(rung.file)],
  ])
  return [
    ...rungs,
    '-map',
    '[poster]',
    ...CLEAN,
    '-c:v',
    'mjpeg',
    '-q:v',
    '3',
    '-frames:v',
    '1',
    '-update',
    '1',
    '-f',
    'image2',
    out(video.poster.file),
  ]
}

/**
 * A key frame at the first frame at or after each k × segmentDuration, and nowhere else, so that every rung is cut at the same frames and
 * nothing drifts at 29.97. Counted in whole numbers, n × den ≥ k × seconds × num: seconds as floating point would slip a frame now and then.
 * In the file the decode time of a closed group's first frame is its number ÷ rate, so the packager's rule (dts ≥ k × segment) meets them.
 */
function keyFrames(rate: Rational, segmentDuration: number): string[] {
  const longest = Math.ceil((segmentDuration * rate.num) / rate.den)
  return [
    ...['-sc_threshold', '0', '-g', String(longest), '-keyint_min', '1', '-flags', '+cgop', '-forced-idr', '1'],
    ...['-force_key_frames', `expr:gte(n*${rate.den},n_forced*${segmentDuration * rate.num})`],
  ]
}

/** A graph that is built anew pads from 0 again: silence for a time that was written already, and is dropped. */
const FORWARD_ONLY = "noise=drop='if(gt(n,0)*lte(dts,ld(0)),1,0*st(0,dts))'"

function audioOutput(track: AudioTrack, at: number, out: (file: string) => string): string[] {
  const tag = /^[a-z]{3}$/.test(track.language) ? ['-metadata:s:a:0', `language=${track.language}`] : []
  return [
    ...['-map', `[a${at}]`, ...CLEAN, ...tag],
    ...['-c:a', 'aac', '-b:a', `${track.bitrateKbps}k`, '-ac', String(track.channels)],
    ...['-bsf:a', FORWARD_ONLY],
    ...[...MP4, out(track.file)],
  ]
}
