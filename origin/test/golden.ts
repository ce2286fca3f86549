import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Asset } from '@millrace/common/contracts/asset'
import type { Built } from '../src/packager/packager.js'

/** The recorded asset, and every answer of the real nginx-vod-module to it (README there). */
export const GOLDEN = fileURLToPath(new URL('./fixtures/golden/', import.meta.url))
export const GOLDEN_ASSET = `${GOLDEN}asset`

export interface GoldenAnswer {
  path: string
  status: number
  contentType: string
  bytes: number
  sha256: string
  file?: string
}

export function goldenAnswers(): GoldenAnswer[] {
  return JSON.parse(readFileSync(`${GOLDEN}index.json`, 'utf8')) as GoldenAnswer[]
}

/** What a transcoder would have said of that asset. */
export function goldenAsset(): Asset {
  const file = (name: string) => {
    const bytes = readFileSync(`${GOLDEN_ASSET}/${name}`)
    return { name, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
  }
  const timed = { segmentDurations: [4, 4, 4, 2.2], duration: 14.2 }
  const video = { role: 'video' as const, ...timed, frameRate: { num: 25, den: 1 }, videoRange: 'SDR' as const }
  const audio = { role: 'audio' as const, codecs: 'mp4a.40.2', ...timed, duration: 14.221333, channels: 1, sampleRate: 48_000 }
  return {
    version: 1,
    videoId: 'golden0000000000000000000a',
    rev: 'r1',
    attempt: 1,
    createdAt: '2024-01-01T00:00:00Z',
    duration: 14.221333,
    segmentDuration: 4,
    gop: 2,
    preset: { name: 'golden', version: 1 },
    warnings: [],
    files: [
      {
        ...file('video-360p.mp4'),
        ...video,
        sequence: 'v360',
        codecs: 'avc1.64001e',
        width: 640,
        height: 360,
        averageBitrate: 256_979,
        peakBitrate: 276_082,
      },
      {
        ...file('video-180p.mp4'),
        ...video,
        sequence: 'v180',
        codecs: 'avc1.64000c',
        width: 320,
        height: 180,
        averageBitrate: 69_712,
        peakBitrate: 76_362,
      },
      {
        ...file('audio-eng.mp4'),
        ...audio,
        sequence: 'aeng',
        language: 'eng',
        label: 'English',
        default: true,
        averageBitrate: 64_267,
        peakBitrate: 64_600,
      },
      {
        ...file('audio-fra.mp4'),
        ...audio,
        sequence: 'afra',
        language: 'fra',
        label: 'Français',
        default: false,
        averageBitrate: 64_217,
        peakBitrate: 64_600,
      },
      {
        ...file('text-eng.vtt'),
        role: 'text',
        sequence: 'seng',
        codecs: 'wvtt',
        language: 'eng',
        label: 'English',
        default: false,
        forced: false,
      },
    ],
  }
}

/** The whole body, as a client would get it. */
export async function bodyOf(built: Built): Promise<Buffer> {
  const parts = [built.head]
  if (built.file) {
    const file = await open(built.file.path, 'r')
    try {
      for (const { offset, length } of built.file.ranges) {
        const part = Buffer.alloc(length)
        const { bytesRead } = await file.read(part, 0, length, offset)
        parts.push(part.subarray(0, bytesRead))
      }
    } finally {
      await file.close()
    }
  }
  return Buffer.concat(parts)
}
