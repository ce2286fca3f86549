import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Asset, sequencesOf } from '@millrace/common/contracts/asset'
import { fragmentName, initName } from '@millrace/common/contracts/media-url'
import { bound } from '@millrace/common/process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderManifests } from '../src/assets/manifests.js'
import { requireBox } from '../src/packager/boxes.js'
import { createEmbeddedPackager } from '../src/packager/embedded.js'
import type { SegmentPath } from '../src/packager/packager.js'
import { bodyOf, GOLDEN_ASSET, goldenAsset } from './golden.js'

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'millrace-packager-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

const packager = createEmbeddedPackager({ cacheBytes: 2 ** 24 })

/** Fails on any complaint: ffmpeg often says what is wrong and goes on. */
async function quiet(program: 'ffmpeg' | 'ffprobe', args: string[]): Promise<string> {
  const { stdout, stderr } = await bound(program, ['-v', 'error', ...args])
  expect(stderr).toBe('')
  return stdout
}

/** One hash per decoded frame, in the order of presentation. */
async function decoded(file: string): Promise<string[]> {
  const text = await quiet('ffmpeg', ['-ignore_editlist', '1', '-i', file, '-fps_mode', 'passthrough', '-f', 'framemd5', '-'])
  return text.split('\n').flatMap((line) => (line.startsWith('#') || line === '' ? [] : [line.split(',').at(-1)!.trim()]))
}

const X264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-bf', '2', '-sc_threshold', '0', '-pix_fmt', 'yuv420p']
const KEYS = ['-force_key_frames', 'expr:gte(t,n_forced*2)']
const picture = (rate: string, seconds = 9) => ['-f', 'lavfi', '-i', `testsrc2=size=160x90:rate=${rate}:duration=${seconds}`]
const sound = (rate: number, seconds = 9) => ['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=${rate}:duration=${seconds}`]

async function clip(name: string, args: string[]): Promise<{ folder: string; asset: Asset; file: string }> {
  const folder = join(root, name)
  await mkdir(folder)
  const media = args.includes('-c:v') ? 'video' : 'audio'
  const file = join(folder, `${media}.mp4`)
  await quiet('ffmpeg', [...args, file])
  const base = goldenAsset()
  const template = base.files.find(({ role }) => role === media)!
  return { folder, file, asset: { ...base, files: [{ ...template, name: `${media}.mp4` }] } }
}

interface Fragment {
  tfdt: number
  durations: number[]
  earliest: number
  payload: Buffer
  body: Buffer
}

function parseFragment(body: Buffer): Fragment {
  const tfdt = requireBox(body, 'moof/traf/tfdt').payload
  const trun = requireBox(body, 'moof/traf/trun').payload
  const entry = trun.readUInt32BE(0) === 0x01000f01 ? 16 : 8
  const durations = Array.from({ length: trun.readUInt32BE(4) }, (_, i) => trun.readUInt32BE(12 + i * entry))
  return {
    tfdt: tfdt.readUInt32BE(4),
    durations,
    earliest: requireBox(body, 'sidx').payload.readUInt32BE(12),
    payload: requireBox(body, 'mdat').payload,
    body,
  }
}

async function packaged(folder: string, asset: Asset, sequence = 1) {
  const { videoId, rev } = asset
  const media = sequencesOf(asset)[sequence - 1]!.role === 'video' ? 'v' : 'a'
  const ask = async (path: Pick<SegmentPath, 'kind'> & { number?: number }) => {
    const built = await packager.build(folder, asset, { videoId, rev, sequence, media, ...path } as SegmentPath)
    if (!built) throw new Error(`nothing for ${JSON.stringify(path)}`)
    const body = await bodyOf(built)
    expect(body).toHaveLength(built.length)
    return body
  }
  const durations = (await packager.segmentDurations(folder, asset))[sequence - 1]!
  const fragments: Fragment[] = []
  for (let number = 1; number <= durations.length; number++) fragments.push(parseFragment(await ask({ kind: 'fragment', number })))
  return { init: await ask({ kind: 'init' }), fragments, durations, media }
}

describe.each([
  ['23.976 fps with B-frames', [...picture('24000/1001'), ...X264, ...KEYS]],
  ['29.97 fps with B-frames', [...picture('30000/1001'), ...X264, ...KEYS]],
  ['60 fps with B-frames', [...picture('60'), ...X264, ...KEYS]],
  ['25 fps without B-frames', [...picture('25'), ...X264, '-bf', '0', ...KEYS]],
  ['a timescale that 90 kHz is no multiple of', [...picture('30000/1001'), ...X264, ...KEYS, '-video_track_timescale', '7919']],
  ['negative composition offsets', [...picture('25'), ...X264, ...KEYS, '-movflags', '+negative_cts_offsets']],
  ['a moov in front', [...picture('25', 5), ...X264, ...KEYS, '-movflags', '+faststart']],
  ['key frames further apart than segments', [...picture('25'), ...X264, '-g', '150', '-keyint_min', '150']],
  ['variable frame rate', [...picture('30'), '-vf', "select='lt(mod(n\\,7)\\,4)'", '-fps_mode', 'vfr', ...X264, ...KEYS]],
  [
    'HEVC',
    [
      ...picture('25', 5),
      '-c:v',
      'libx265',
      '-preset',
      'ultrafast',
      '-tag:v',
      'hvc1',
      '-x265-params',
      'log-level=none:keyint=50:open-gop=0',
      '-pix_fmt',
      'yuv420p',
    ],
  ],
  ['AAC at 44.1 kHz', [...sound(44_100), '-c:a', 'aac']],
  ['AAC at 48 kHz in stereo', [...sound(48_000), '-c:a', 'aac', '-ac', '2']],
  ['AC-3', [...sound(48_000, 5), '-c:a', 'ac3']],
  ['Opus', [...sound(48_000, 5), '-c:a', 'libopus']],
])('%s', (name, args) => {
  let source: Awaited<ReturnType<typeof clip>>
  let output: Awaited<ReturnType<typeof packaged>>
  beforeAll(async () => {
    source = await clip(name.replaceAll(/[^a-z0-9]+/gi, '-'), args)
    output = await packaged(source.folder, source.asset)
  })

  it('each fragment begins where the one before it ends, and lasts as long as was told', () => {
    let end = 0
    for (const [i, { tfdt, durations }] of output.fragments.entries()) {
      expect(tfdt).toBe(end)
      end += durations.reduce((sum, duration) => sum + duration, 0)
      expect(end - tfdt).toBe(Math.round(output.durations[i]! * 90_000))
    }
    expect(output.fragments.length).toBeGreaterThan(1)
    expect(output.fragments[0]!.earliest).toBe(0)
  })

  it('the fragments hold the very samples of the source, in order', async () => {
    const held = Buffer.concat(output.fragments.map(({ payload }) => payload))
    expect(held.equals(requireBox(await readFile(source.file), 'mdat').payload)).toBe(true)
  })

  it('ffmpeg decodes init and fragments to the very frames of the source', async () => {
    const whole = join(source.folder, 'whole.mp4')
    await writeFile(whole, Buffer.concat([output.init, ...output.fragments.map(({ body }) => body)]))
    const frames = await decoded(whole)
    expect(frames.length).toBeGreaterThan(50)
    expect(frames).toEqual(await decoded(source.file))
  })

  it('ffmpeg decodes any fragment after the init alone', async () => {
    const alone = join(source.folder, 'alone.mp4')
    await writeFile(alone, Buffer.concat([output.init, output.fragments.at(-1)!.body]))
    expect((await decoded(alone)).length).toBeGreaterThanOrEqual(output.fragments.at(-1)!.durations.length - 1)
  })
})

/** Writes what an origin would serve as files under one folder. */
async function publish(folder: string, asset: Asset, to: string): Promise<Record<string, string>> {
  const files = join(to, 'files', asset.videoId, asset.rev)
  const dash = join(to, 'dash', asset.videoId, asset.rev)
  await mkdir(files, { recursive: true })
  await mkdir(dash, { recursive: true })
  const manifests = renderManifests(asset, await packager.segmentDurations(folder, asset)).files
  for (const [name, text] of Object.entries(manifests)) await writeFile(join(files, name), text)
  for (const [i, file] of sequencesOf(asset).entries()) {
    if (file.role === 'text') {
      await writeFile(join(files, file.name), await readFile(join(folder, file.name)))
      continue
    }
    const { init, fragments, media } = await packaged(folder, asset, i + 1)
    await writeFile(join(dash, initName(i + 1, media as 'v' | 'a')), init)
    for (const [n, { body }] of fragments.entries()) await writeFile(join(dash, fragmentName(n + 1, i + 1, media as 'v' | 'a')), body)
  }
  return manifests
}

interface Probe {
  streams: { codec_type: string; width?: number }[]
  programs: unknown[]
  format: { duration: string }
}
const ANY_EXTENSION = ['-allowed_extensions', 'ALL']
const HLS = [...ANY_EXTENSION, '-protocol_whitelist', 'file']

describe('manifests as files', () => {
  const asset = goldenAsset()
  let files: string
  let manifests: Record<string, string>
  beforeAll(async () => {
    // A route in front, as on an edge.
    const tree = join(root, 'tree', 'o1.o2')
    manifests = await publish(GOLDEN_ASSET, asset, tree)
    files = join(tree, 'files', asset.videoId, asset.rev)
  })
  const probe = async (manifest: string, options: string[]) =>
    JSON.parse(
      await quiet('ffprobe', [...options, '-show_streams', '-show_programs', '-show_format', '-of', 'json', join(files, manifest)]),
    ) as Probe

  // ffmpeg 5 leaves HLS subtitles aside.
  it('ffprobe sees every video and audio track and the duration in the HLS multivariant playlist', async () => {
    const { streams, programs, format } = await probe('main.m3u8', HLS)
    expect(streams.map((stream) => stream.codec_type).sort()).toEqual(['audio', 'audio', 'video', 'video'])
    expect(programs).toHaveLength(2)
    expect(Number(format.duration)).toBeCloseTo(14.22, 1)
  })

  it.each([
    ['video-360p.m3u8', 14.2],
    ['video-180p.m3u8', 14.2],
    ['audio-eng.m3u8', 14.221],
    ['audio-fra.m3u8', 14.221],
  ])('ffprobe reads %s alone', async (playlist, seconds) => {
    const { streams, format } = await probe(playlist, HLS)
    expect(streams).toHaveLength(1)
    expect(Number(format.duration)).toBeCloseTo(seconds, 2)
  })

  it('ffmpeg decodes the whole of every playlist to the frames of its file', async () => {
    for (const file of sequencesOf(asset)) {
      if (file.role === 'text') continue
      const playlist = join(files, file.name.replace('.mp4', '.m3u8'))
      const text = await quiet('ffmpeg', [...HLS, '-i', playlist, '-fps_mode', 'passthrough', '-f', 'framemd5', '-'])
      const frames = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
      expect(frames.map((line) => line.split(',').at(-1)!.trim())).toEqual(await decoded(join(GOLDEN_ASSET, file.name)))
    }
  })

  it('ffmpeg reads the subtitles through their playlist', async () => {
    const text = await quiet('ffmpeg', [...HLS, '-i', join(files, 'text-eng.m3u8'), '-f', 'webvtt', '-'])
    expect(text).toContain('A cue over a segment boundary')
  })

  it('ffprobe sees every track in the MPD and decodes the same frames', async () => {
    const { streams, format } = await probe('main.mpd', ANY_EXTENSION)
    expect(streams.filter(({ codec_type }) => codec_type === 'video')).toHaveLength(2)
    expect(streams.filter(({ codec_type }) => codec_type === 'audio')).toHaveLength(2)
    // Its DASH reader takes whole seconds only.
    expect(Number(format.duration)).toBe(14)
    const text = await quiet('ffmpeg', [
      ...ANY_EXTENSION,
      '-i',
      join(files, 'main.mpd'),
      '-map',
      '0:v:0',
      '-fps_mode',
      'passthrough',
      '-f',
      'framemd5',
      '-',
    ])
    expect(text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))).toHaveLength(355)
  })

  it('the MPD is well-formed XML', async () => {
    await expect(
      bound('python3', ['-c', 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])', join(files, 'main.mpd')]),
    ).resolves.toBeDefined()
  })

  it('no segment is heavier than BANDWIDTH says, whatever audio goes with it', async () => {
    const rates = await Promise.all(
      [1, 2, 3, 4].map(async (sequence) => {
        const { fragments, durations } = await packaged(GOLDEN_ASSET, asset, sequence)
        return Math.max(...fragments.map(({ body }, i) => (body.length * 8) / durations[i]!))
      }),
    )
    const bandwidths = [...manifests['main.m3u8']!.matchAll(/STREAM-INF:BANDWIDTH=(\d+)/g)].map((match) => Number(match[1]))
    const audio = Math.max(rates[2]!, rates[3]!)
    expect(bandwidths[0]).toBeGreaterThanOrEqual(rates[0]! + audio)
    expect(bandwidths[1]).toBeGreaterThanOrEqual(rates[1]! + audio)
    // Not by inflation either.
    expect(bandwidths[0]).toBeLessThan((rates[0]! + audio) * 1.02)
  })

  it('sound alone plays, with one track and with two', async () => {
    for (const count of [1, 2]) {
      const tracks = asset.files.filter(({ role }) => role === 'audio').slice(0, count)
      const tree = join(root, `sound-${count}`)
      await publish(GOLDEN_ASSET, { ...asset, files: tracks }, tree)
      const main = join(tree, 'files', asset.videoId, asset.rev, 'main.m3u8')
      const { streams } = JSON.parse(await quiet('ffprobe', [...HLS, '-show_streams', '-of', 'json', main])) as Probe
      expect(new Set(streams.map(({ codec_type }) => codec_type))).toEqual(new Set(['audio']))
      const text = await quiet('ffmpeg', [...HLS, '-i', main, '-map', '0:a:0', '-f', 'framemd5', '-'])
      const frames = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
      expect(frames.map((line) => line.split(',').at(-1)!.trim())).toEqual(await decoded(join(GOLDEN_ASSET, tracks[0]!.name)))
    }
  })
})
