import { MillraceError } from '@millrace/common/errors'
import { z } from 'zod'
import { parseRational, type Rational } from './frame-rate.js'
import { languageOf } from './language.js'

/** What is known of a source after probing. */
export interface MediaFacts {
  format: string
  /** Seconds of the picture or the longest sound; undefined when nothing says it. */
  duration: number | undefined
  /** The container doesn't say it: ffprobe made it up from the bit rate, and may be far off. */
  durationIsGuess: boolean
  video: VideoFacts | undefined
  audio: AudioFacts[]
  text: TextFacts[]
  warnings: Warning[]
}

export interface VideoFacts {
  index: number
  codec: string
  /** Pixels as they are shown: upright and square. */
  width: number
  height: number
  /** Seconds of the picture alone, where the container says it. */
  duration: number | undefined
  average: Rational | undefined
  base: Rational | undefined
  /** ffprobe's names; undefined when the stream doesn't say. */
  matrix: string | undefined
  transfer: string | undefined
}

export interface AudioFacts {
  index: number
  language: string
  title: string | undefined
  default: boolean
  channels: number
  /** Whether it's known, or can be guessed, which channel is which: else they can't be mixed, only picked. */
  mixable: boolean
  sampleRate: number
}

export interface TextFacts {
  index: number
  language: string
  title: string | undefined
  default: boolean
  forced: boolean
}

export interface Warning {
  code: string
  detail: string
}

const TEXT_CODECS = new Set(['mov_text', 'subrip', 'ass', 'ssa', 'webvtt', 'text'])

/** Bare streams, whose length nobody wrote down. */
const BARE = new Set(['aac', 'mp3', 'ac3', 'eac3', 'dts', 'amr', 'h264', 'hevc', 'm4v', 'mpegvideo'])

/** ffprobe writes numbers as text, and `N/A` for what it doesn't know. */
const seconds = z
  .string()
  .optional()
  .transform((text) => (text !== undefined && Number(text) > 0 && Number.isFinite(Number(text)) ? Number(text) : undefined))

const streamSchema = z.object({
  index: z.number().int(),
  codec_type: z.string().optional(),
  codec_name: z.string().optional(),
  width: z.number().optional(),
  height: z.number().optional(),
  sample_aspect_ratio: z.string().optional(),
  avg_frame_rate: z.string().optional(),
  r_frame_rate: z.string().optional(),
  color_space: z.string().optional(),
  color_transfer: z.string().optional(),
  channels: z.number().optional(),
  channel_layout: z.string().optional(),
  sample_rate: z.coerce.number().optional(),
  duration: seconds,
  disposition: z.record(z.string(), z.number()).default({}),
  tags: z.record(z.string(), z.string()).default({}),
  side_data_list: z.array(z.looseObject({ rotation: z.coerce.number().optional() })).default([]),
})
type Stream = z.output<typeof streamSchema>

const probeSchema = z.object({
  format: z.object({ format_name: z.string(), duration: seconds }),
  streams: z.array(streamSchema).default([]),
})

/**
 * ffprobe's `-show_format -show_streams` JSON as facts.
 *
 * The picture is the default video stream, else the largest; cover art is none. Every audio stream that can be decoded is a track.
 *
 * @throws MillraceError `not-media` when there is neither picture nor sound.
 */
export function readFacts(json: unknown): MediaFacts {
  const parsed = probeSchema.safeParse(json)
  if (!parsed.success) throw notMedia(`ffprobe's answer has no format: ${parsed.error.issues[0]?.message}`)
  const { format, streams } = parsed.data
  const warnings: Warning[] = []
  const video = pickVideo(streams.filter((stream) => stream.codec_type === 'video' && !stream.disposition.attached_pic))
  const audio: AudioFacts[] = []
  const text: TextFacts[] = []
  for (const stream of streams) {
    if (stream.codec_type === 'audio') {
      if (isAudible(stream)) {
        audio.push(audioFacts(stream))
        if (!isMixable(stream))
          warnings.push({
            code: 'audio-not-mixed',
            detail: `audio stream ${stream.index} has ${stream.channels} channels in no known layout: only the first are kept`,
          })
      } else
        warnings.push({
          code: 'audio-skipped',
          detail: `audio stream ${stream.index} (${stream.codec_name ?? 'unknown codec'}) can't be decoded`,
        })
    } else if (stream.codec_type === 'subtitle') {
      if (TEXT_CODECS.has(stream.codec_name ?? '')) text.push(textFacts(stream))
      else
        warnings.push({
          code: 'subtitles-skipped',
          detail: `subtitle stream ${stream.index} (${stream.codec_name ?? 'unknown codec'}) is not text`,
        })
    }
  }
  if (!video && audio.length === 0) throw notMedia('the source has neither a picture nor a sound that can be decoded')
  // Not of the whole file: a track of chapters or subtitles may be longer than all that is shown and heard.
  const played = streams.filter((stream) => stream === video || audio.some(({ index }) => index === stream.index))
  const longest = played.reduce<number | undefined>(
    (most, { duration }) => (duration && duration > (most ?? 0) ? duration : most),
    undefined,
  )
  return {
    format: format.format_name,
    duration: longest ?? format.duration,
    durationIsGuess: BARE.has(format.format_name),
    video: video && videoFacts(video),
    audio,
    text,
    warnings,
  }
}

export function notMedia(message: string, detail?: string): MillraceError {
  return new MillraceError(message, { code: 'not-media', source: 'source-media', retryable: false, ...(detail && { detail }) })
}

function pickVideo(streams: Stream[]): Stream | undefined {
  const area = (stream: Stream) => (stream.width ?? 0) * (stream.height ?? 0)
  const rank = (stream: Stream) => (stream.disposition.default ? 1e12 : 0) + area(stream)
  return streams
    .filter((stream) => stream.codec_name !== undefined && area(stream) > 0)
    .reduce<Stream | undefined>((best, next) => (best && rank(best) >= rank(next) ? best : next), undefined)
}

function videoFacts(stream: Stream): VideoFacts {
  const { width, height } = shownSize(stream)
  return {
    index: stream.index,
    codec: stream.codec_name!,
    width,
    height,
    duration: stream.duration,
    average: parseRational(stream.avg_frame_rate),
    base: parseRational(stream.r_frame_rate),
    matrix: known(stream.color_space),
    transfer: known(stream.color_transfer),
  }
}

/** The sample aspect ratio is of the coded picture, so it comes before the turn. */
function shownSize(stream: Stream): { width: number; height: number } {
  const sar = parseRational(stream.sample_aspect_ratio)
  const width = Math.max(1, Math.round(stream.width! * (sar ? sar.num / sar.den : 1)))
  const height = stream.height!
  const turned = stream.side_data_list.some((data) => Math.abs(data.rotation ?? 0) % 180 === 90)
  return turned ? { width: height, height: width } : { width, height }
}

function isAudible(stream: Stream): boolean {
  return stream.codec_name !== undefined && (stream.channels ?? 0) > 0 && (stream.sample_rate ?? 0) > 0
}

function audioFacts(stream: Stream): AudioFacts {
  return { ...trackFacts(stream), channels: stream.channels!, mixable: isMixable(stream), sampleRate: stream.sample_rate! }
}

const MOST_GUESSED_CHANNELS = 8

/** ffmpeg takes 1 to 8 channels without a layout for the usual one of that number, and refuses to mix others. */
function isMixable(stream: Stream): boolean {
  const unknown = stream.channel_layout === undefined || /^(unknown|\d+ channels)$/.test(stream.channel_layout)
  return !unknown || stream.channels! <= MOST_GUESSED_CHANNELS
}

function textFacts(stream: Stream): TextFacts {
  return { ...trackFacts(stream), forced: stream.disposition.forced === 1 }
}

function trackFacts(stream: Stream) {
  return {
    index: stream.index,
    language: languageOf(stream.tags.language),
    title: stream.tags.title?.trim() || undefined,
    default: stream.disposition.default === 1,
  }
}

function known(value: string | undefined): string | undefined {
  return value === undefined || value === 'unknown' || value === 'reserved' ? undefined : value
}
