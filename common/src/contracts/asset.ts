import { z } from 'zod'
import { MAX_SEQUENCES, revSchema, sequenceIdSchema, videoIdSchema } from './ids.js'
import { FILE_NAME } from './media-url.js'

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'a sha256 is 64 lowercase hex digits')
const seconds = z.number().nonnegative().finite()
const bitrate = z.number().int().nonnegative()
const fileName = z
  .string()
  .regex(FILE_NAME)
  .refine((name) => !name.includes('..'), 'a file name has no ".."')

const fileBase = { name: fileName, bytes: z.number().int().positive(), sha256: sha256Schema }
const sequenceBase = { ...fileBase, sequence: sequenceIdSchema }

/** Segment durations in seconds by the packager's rule: boundary k = first key frame (audio: first sample) with dts ≥ k × segmentDuration. */
const timedBase = {
  ...sequenceBase,
  codecs: z.string().min(1),
  duration: seconds,
  /** Bits per second: over the whole track, and of the heaviest segment. */
  averageBitrate: bitrate,
  peakBitrate: bitrate,
  segmentDurations: z.array(z.number().positive()),
}

export const videoFileSchema = z.object({
  role: z.literal('video'),
  ...timedBase,
  /** Coded size; square pixels, upright. */
  width: z.number().int().positive(),
  height: z.number().int().positive(),
  frameRate: z.object({ num: z.number().int().positive(), den: z.number().int().positive() }),
  videoRange: z.enum(['SDR', 'PQ', 'HLG']),
})

export const audioFileSchema = z.object({
  role: z.literal('audio'),
  ...timedBase,
  /** ISO 639-2/T or BCP 47; `und` when the source doesn't say. */
  language: z.string().min(2).max(35),
  label: z.string().min(1).max(200),
  default: z.boolean(),
  channels: z.number().int().positive(),
  sampleRate: z.number().int().positive(),
})

export const textFileSchema = z.object({
  role: z.literal('text'),
  ...sequenceBase,
  codecs: z.literal('wvtt'),
  language: z.string().min(2).max(35),
  label: z.string().min(1).max(200),
  default: z.boolean(),
  forced: z.boolean(),
})

export const imageFileSchema = z.object({
  role: z.enum(['poster', 'storyboard']),
  ...fileBase,
  width: z.number().int().positive().optional(),
  height: z.number().int().positive().optional(),
})

export const assetFileSchema = z.discriminatedUnion('role', [videoFileSchema, audioFileSchema, textFileSchema, imageFileSchema])

/**
 * `asset.json`: everything that is known of one immutable revision. Written by the transcoder, last of its files; read by origins
 * (commit, manifests, packager) and the CMS. The order of the video, audio and text files is the order of the sequences: the k-th of
 * them is `f<k>` in data URLs.
 */
export const assetSchema = z
  .object({
    version: z.literal(1),
    videoId: videoIdSchema,
    rev: revSchema,
    attempt: z.number().int().positive(),
    createdAt: z.iso.datetime(),
    duration: seconds,
    /** Seconds: the packager's target, and the key-frame distance the rungs were encoded with. */
    segmentDuration: z.number().positive(),
    gop: z.number().positive(),
    preset: z.object({ name: z.string(), version: z.number().int().positive() }),
    warnings: z.array(z.object({ code: z.string(), detail: z.string() })).default([]),
    files: z
      .array(assetFileSchema)
      .min(1)
      .max(MAX_SEQUENCES + 64),
  })
  .refine((asset) => new Set(asset.files.map((file) => file.name)).size === asset.files.length, 'two files have one name')
  .refine((asset) => sequencesOf(asset).length <= MAX_SEQUENCES, `more than ${MAX_SEQUENCES} sequences`)
  .refine(
    (asset) => new Set(sequencesOf(asset).map((file) => file.sequence)).size === sequencesOf(asset).length,
    'two files have one sequence id',
  )
  .refine((asset) => asset.rev === `r${asset.attempt}`, 'rev and attempt differ')

export type Asset = z.infer<typeof assetSchema>
export type AssetFile = z.infer<typeof assetFileSchema>
export type VideoFile = z.infer<typeof videoFileSchema>
export type AudioFile = z.infer<typeof audioFileSchema>
export type TextFile = z.infer<typeof textFileSchema>
export type SequenceFile = VideoFile | AudioFile | TextFile

/** The name of the manifest inside an asset folder. */
export const ASSET_JSON = 'asset.json'

/** The files that are sequences, in the order of vod.json: index 0 is `f1`. */
export function sequencesOf(asset: { files: AssetFile[] }): SequenceFile[] {
  return asset.files.filter((file): file is SequenceFile => file.role === 'video' || file.role === 'audio' || file.role === 'text')
}

/** The media playlist of a sequence: `video-720p.mp4` → `video-720p.m3u8`. */
export function playlistName(fileName: string): string {
  return fileName.replace(/\.[a-z0-9]+$/, '.m3u8')
}

export const MULTIVARIANT_PLAYLIST = 'main.m3u8'
export const MPD = 'main.mpd'
