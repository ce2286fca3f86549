import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { ASSET_JSON, type Asset, type AssetFile, assetSchema } from '@millrace/common/contracts/asset'
import type { Preset } from '@millrace/common/contracts/transcode-job'
import type { EncodePlan } from './ffmpeg-args.js'
import type { Warning } from './media-facts.js'
import type { Verified } from './verify.js'

export interface AssetIdentity {
  videoId: string
  rev: string
  attempt: number
  createdAt: string
  preset: Pick<Preset, 'name' | 'version'>
}

/** A file as everything but its bytes and hash knows it. */
type Undigested<F = AssetFile> = F extends unknown ? Omit<F, 'bytes' | 'sha256'> : never

/** Every file of an asset in the order of its sequences: rungs from the largest, audio, text, then the pictures. */
export function describeFiles(plan: EncodePlan, verified: Verified): Undigested[] {
  const timed = ({ duration, averageBitrate, peakBitrate, segmentDurations }: Verified['video'][number]['measures']) => ({
    duration,
    averageBitrate,
    peakBitrate,
    segmentDurations,
  })
  const first = verified.audio.find(({ track }) => track.default) ?? verified.audio[0]
  return [
    ...verified.video.map(({ rung, codecs, measures }) => ({
      role: 'video' as const,
      name: rung.file,
      sequence: rung.sequence,
      codecs,
      ...timed(measures),
      width: rung.width,
      height: rung.height,
      frameRate: plan.video!.frameRate,
      videoRange: 'SDR' as const,
    })),
    ...verified.audio.map(({ track, codecs, measures }) => ({
      role: 'audio' as const,
      name: track.file,
      sequence: track.sequence,
      codecs,
      ...timed(measures),
      language: track.language,
      label: track.label,
      default: track === first?.track,
      channels: track.channels,
      sampleRate: track.sampleRate,
    })),
    ...plan.text.map((track) => ({
      role: 'text' as const,
      name: track.file,
      sequence: track.sequence,
      codecs: 'wvtt' as const,
      language: track.language,
      label: track.label,
      default: track.default,
      forced: track.forced,
    })),
    ...(plan.video && verified.poster
      ? [{ role: 'poster' as const, name: plan.video.poster.file, width: plan.video.poster.width, height: plan.video.poster.height }]
      : []),
  ]
}

/** Hashes the files and writes `asset.json`, the last file of an asset. @returns it, and the hash that binds the whole. */
export async function writeAsset(
  folder: string,
  identity: AssetIdentity,
  plan: EncodePlan,
  verified: Verified,
  warnings: Warning[],
): Promise<{ asset: Asset; assetSha256: string; bytes: number }> {
  const files: AssetFile[] = []
  for (const file of describeFiles(plan, verified)) {
    const path = join(folder, file.name)
    files.push({ ...file, bytes: (await stat(path)).size, sha256: await sha256OfFile(path) } as AssetFile)
  }
  const { preset, ...ids } = identity
  const asset = assetSchema.parse({
    version: 1,
    ...ids,
    duration: verified.duration,
    segmentDuration: plan.segmentDuration,
    gop: plan.segmentDuration,
    preset: { name: preset.name, version: preset.version },
    warnings,
    files,
  } satisfies Asset)
  const text = `${JSON.stringify(asset, null, 1)}\n`
  const path = join(folder, ASSET_JSON)
  await writeDurably(path, text)
  const bytes = files.reduce((sum, file) => sum + file.bytes, Buffer.byteLength(text))
  return { asset, assetSha256: createHash('sha256').update(text).digest('hex'), bytes }
}

async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash)
  return hash.digest('hex')
}

async function writeDurably(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`
  const file = await open(temporary, 'wx', 0o644)
  try {
    await file.writeFile(text)
    await file.sync()
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}
