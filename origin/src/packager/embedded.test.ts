import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseMediaPath } from '@millrace/common/contracts/media-url'
import { describe, expect, it } from 'vitest'
import { bodyOf, GOLDEN, GOLDEN_ASSET, goldenAnswers, goldenAsset } from '../../test/golden.js'
import { createEmbeddedPackager } from './embedded.js'
import type { SegmentPath } from './packager.js'

const asset = goldenAsset()
const packager = createEmbeddedPackager({ cacheBytes: 2 ** 20 })
const ask = (name: string) => packager.build(GOLDEN_ASSET, asset, segmentPath(`/dash/${asset.videoId}/${asset.rev}/${name}`))

function segmentPath(path: string): SegmentPath {
  const parsed = parseMediaPath(path)
  if (parsed?.kind !== 'init' && parsed?.kind !== 'fragment') throw new Error(`no segment: ${path}`)
  return parsed
}

describe('what does not exist', () => {
  it.each([
    ['a fragment after the last', 'fragment-5-f1-v1-x3.m4s'],
    ['a fragment far after the last', 'fragment-9999999-f1-v1-x3.m4s'],
    ['a sequence after the last', 'init-f6-v1-x3.mp4'],
    ['audio where the sequence is video', 'fragment-1-f1-a1-x3.m4s'],
    ['video where the sequence is audio', 'init-f3-v1-x3.mp4'],
    ['an init of text', 'init-f5-a1-x3.mp4'],
    ['a fragment of text', 'fragment-1-f5-v1-x3.m4s'],
  ])('%s is undefined', async (_, name) => {
    expect(await ask(name)).toBeUndefined()
  })
})

describe('files that cannot be packaged', () => {
  it.each([
    ['a file that is no mp4', Buffer.from('not a video at all, but long enough to hold a box header')],
    ['an empty file', Buffer.alloc(0)],
    ['a truncated file', readFileSync(`${GOLDEN_ASSET}/video-360p.mp4`).subarray(0, -1000)],
    ['a file cut inside its moov', readFileSync(`${GOLDEN_ASSET}/video-360p.mp4`).subarray(0, 3000)],
    ['audio where video was promised', readFileSync(`${GOLDEN_ASSET}/audio-eng.mp4`)],
  ])('%s is bad-media', async (_, bytes) => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-packager-'))
    try {
      await writeFile(join(folder, 'video-360p.mp4'), bytes)
      const broken = createEmbeddedPackager({ cacheBytes: 2 ** 20 }).segmentDurations(folder, asset)
      await expect(broken).rejects.toMatchObject({ code: 'bad-media', source: 'source-media', retryable: false })
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('a missing file is not the fault of the media, and may be there later', async () => {
    const missing = packager.segmentDurations('/nonexistent', asset)
    await expect(missing).rejects.toMatchObject({ code: 'media-unreadable', source: 'disk', retryable: true })
  })
})

describe('against the recorded answers of nginx-vod-module', () => {
  const recorded = goldenAnswers().filter(({ path, status }) => status === 200 && /^\/dash\/.*-x3\./.test(path))

  it('has all of them to compare with', () => {
    expect(recorded).toHaveLength(4 + 16)
  })

  it.each(recorded.map((answer) => [answer.path.split('/').at(-1)!, answer] as const))(
    '%s is equal byte for byte',
    async (name, answer) => {
      const built = await ask(name)
      expect(built).toMatchObject({ contentType: answer.contentType, length: answer.bytes })
      expect((await bodyOf(built!)).equals(readFileSync(`${GOLDEN}${answer.file}`))).toBe(true)
    },
  )

  it('segment durations are those of its manifest, not rounded to milliseconds', async () => {
    const durations = await packager.segmentDurations(GOLDEN_ASSET, asset)
    const audio = [4.010667, 3.989333, 4.010667, 2.210667]
    const rounded = durations.map((track) => track.map((seconds) => Number(seconds.toFixed(6))))
    expect(rounded).toEqual([[4, 4, 4, 2.2], [4, 4, 4, 2.2], audio, audio, []])
  })
})

describe('ETags', () => {
  it('differ by name and source file, and not by folder or packager', async () => {
    const again = createEmbeddedPackager({ cacheBytes: 1 })
    const path = segmentPath(`/dash/${asset.videoId}/${asset.rev}/fragment-2-f1-v1-x3.m4s`)
    const etags = [
      (await again.build(`${GOLDEN_ASSET}/../asset`, asset, path))!.etag,
      (await ask('fragment-1-f1-v1-x3.m4s'))!.etag,
      (await ask('fragment-2-f2-v1-x3.m4s'))!.etag,
      (await ask('init-f1-v1-x3.mp4'))!.etag,
      (await ask('init-f3-a1-x3.mp4'))!.etag,
    ]
    expect(etags[0]).toBe((await ask('fragment-2-f1-v1-x3.m4s'))!.etag)
    expect(etags[0]).toMatch(/^"[0-9a-f]{16}"$/)
    expect(new Set(etags).size).toBe(etags.length)
  })
})
