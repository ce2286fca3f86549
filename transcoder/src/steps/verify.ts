import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MillraceError } from '@millrace/common/errors'
import { z } from 'zod'
import { runChild } from '../child.js'
import { AAC_LC, avcCodecs, bytesOfDump } from './codecs.js'
import type { EncodePlan, VideoPlan } from './ffmpeg-args.js'
import { parseRational, rateOf } from './frame-rate.js'
import type { VideoRung } from './ladder.js'
import type { Warning } from './media-facts.js'
import type { ProbeTool } from './probe.js'
import { SegmentMeter, type TrackMeasures } from './segments.js'
import type { AudioTrack } from './tracks.js'

/** What was really made, by probing it: asset.json is written from this, not from the plan. */
export interface Verified {
  video: { rung: VideoRung; codecs: string; measures: TrackMeasures }[]
  audio: { track: AudioTrack; codecs: string; measures: TrackMeasures }[]
  poster: boolean
  /** Seconds: the longest track. */
  duration: number
  warnings: Warning[]
}

const streamSchema = z.object({
  codec_name: z.string(),
  time_base: z.string(),
  width: z.number().optional(),
  height: z.number().optional(),
  sample_aspect_ratio: z.string().optional(),
  avg_frame_rate: z.string().optional(),
  channels: z.number().optional(),
  extradata: z.string().default(''),
})
type Stream = z.output<typeof streamSchema>

/** What the source and the job say about the length. */
export interface Promised {
  /** Seconds, where the container says it. */
  duration: number | undefined
  maxSeconds: number
  /** There were errors while decoding. */
  damaged: boolean
}

/** Less of the promised duration than this, with errors, is a truncated source; a little less, or without any error, a damaged one. */
const TRUNCATED_BELOW = 0.9
const DAMAGED_BY_SECONDS = 1

/**
 * Probes every output and compares it with the plan, and the rungs with one another: same frames, same segment boundaries.
 *
 * @throws MillraceError `bad-output` (our fault), `source-truncated`, `source-too-long`, `not-media` (nothing could be decoded).
 */
export async function verify(
  tool: ProbeTool,
  plan: EncodePlan,
  folder: string,
  promised: Promised,
  signal: AbortSignal,
): Promise<Verified> {
  const look = (file: string) => inspect(tool, folder, file, plan.segmentDuration, signal)
  const video = await Promise.all(
    (plan.video?.rungs ?? []).map(async (rung) => {
      const { stream, measures } = await look(rung.file)
      checkRung(rung, plan.video!, stream)
      return { rung, codecs: avcCodecs(bytesOfDump(stream.extradata)), measures }
    }),
  )
  checkAligned(video)
  const sounds = await Promise.all(plan.audio.map(async (track) => ({ track, codecs: AAC_LC, ...(await look(track.file)) })))
  for (const { track, stream } of sounds) {
    if (stream && (stream.codec_name !== 'aac' || stream.channels !== track.channels))
      throw badOutput(track.file, 'is not the AAC that was asked for')
  }
  const audio = sounds.filter((sound) => sound.measures.samples > 0)
  const warnings: Warning[] = sounds
    .filter((sound) => sound.measures.samples === 0)
    .map(({ track }) => ({ code: 'audio-skipped', detail: `audio stream ${track.streamIndex} has no sound that could be decoded` }))
  const tracks = [...video, ...audio]
  if (tracks.length === 0) throw unreadable()
  const duration = Math.max(...tracks.map((track) => track.measures.duration))
  warnings.push(...judgeDuration(duration, promised))
  const poster = plan.video !== undefined && (await sizeOf(join(folder, plan.video.poster.file))) > 0
  return { video, audio, poster, duration, warnings }
}

/** @throws MillraceError where what came out is far from what the source promised. @returns a warning where it isn't quite. */
export function judgeDuration(duration: number, promised: Promised): Warning[] {
  if (duration > promised.maxSeconds) throw tooLong(promised.maxSeconds)
  const missing = (promised.duration ?? 0) - duration
  if (promised.duration === undefined || missing <= DAMAGED_BY_SECONDS) return []
  const sentence = `${duration.toFixed(1)} s of ${promised.duration.toFixed(1)} s could be decoded`
  if (promised.damaged && duration < promised.duration * TRUNCATED_BELOW)
    throw new MillraceError(`the source is cut off: ${sentence}`, { code: 'source-truncated', source: 'source-media', retryable: false })
  return [{ code: 'source-damaged', detail: sentence }]
}

export function tooLong(maxSeconds: number): MillraceError {
  return new MillraceError(`the source is longer than the ${maxSeconds} s allowed`, {
    code: 'source-too-long',
    source: 'client',
    retryable: false,
  })
}

async function inspect(tool: ProbeTool, folder: string, file: string, segmentDuration: number, signal: AbortSignal) {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(tool.timeoutMs)])
  const guard = ['-v', 'error', '-protocol_whitelist', 'file', '-format_whitelist', 'mov', '-ignore_editlist', '1']
  const run = async (args: string[], onLine: (line: string) => void) => {
    const result = await runChild(tool.probePath, [...guard, ...args, `file:${file}`], { cwd: folder, signal: limited, onLine })
    if (result.exitCode !== 0) throw badOutput(file, 'can’t be probed', result.stderr)
  }
  const lines: string[] = []
  await run(['-show_streams', '-show_data', '-of', 'json'], (line) => lines.push(line))
  const { streams } = z.object({ streams: z.array(streamSchema) }).parse(JSON.parse(lines.join('\n')))
  const stream = streams[0]
  const timescale = parseRational(stream?.time_base)?.den ?? 1
  const meter = new SegmentMeter(timescale, segmentDuration)
  await run(['-show_entries', 'packet=dts,duration,size,flags', '-of', 'csv=p=0'], (line) => {
    const [dts, duration, bytes, flags] = line.split(',')
    if (flags !== undefined) meter.add({ dts: Number(dts), duration: Number(duration), bytes: Number(bytes), key: flags.startsWith('K') })
  })
  return { stream, measures: meter.finish() }
}

function checkRung(rung: VideoRung, plan: VideoPlan, stream: Stream | undefined): asserts stream is Stream {
  if (!stream) throw unreadable()
  const rate = parseRational(stream.avg_frame_rate)
  if (stream.codec_name !== 'h264') throw badOutput(rung.file, `is ${stream.codec_name}`)
  if (stream.width !== rung.width || stream.height !== rung.height)
    throw badOutput(rung.file, `is ${stream.width}×${stream.height}, not ${rung.width}×${rung.height}`)
  if (rate && Math.abs(rateOf(rate) / rateOf(plan.frameRate) - 1) > 0.001)
    throw badOutput(rung.file, `has ${rateOf(rate)} frames per second, not ${rateOf(plan.frameRate)}`)
}

function checkAligned(rungs: Verified['video']): void {
  const [first, ...others] = rungs
  if (!first) return
  if (first.measures.samples === 0) throw unreadable()
  const cuts = JSON.stringify(first.measures.segmentDurations)
  for (const other of others) {
    if (other.measures.samples !== first.measures.samples || JSON.stringify(other.measures.segmentDurations) !== cuts)
      throw badOutput(other.rung.file, `is not cut at the same frames as ${first.rung.file}`)
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}

function badOutput(file: string, problem: string, detail?: string): MillraceError {
  return new MillraceError(`${file} ${problem}`, { code: 'bad-output', source: 'encoder', retryable: false, ...(detail && { detail }) })
}

function unreadable(): MillraceError {
  return new MillraceError('nothing of the source could be decoded', { code: 'not-media', source: 'source-media', retryable: false })
}
