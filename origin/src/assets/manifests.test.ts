import type { Asset, AudioFile, TextFile, VideoFile } from '@millrace/common/contracts/asset'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { renderManifests } from './manifests.js'

const hash = { bytes: 1000, sha256: '0'.repeat(64) }
const timed = { duration: 10, segmentDurations: [4, 4, 2] }

const video = (size: number, over: Partial<VideoFile> = {}): VideoFile => ({
  ...hash,
  ...timed,
  role: 'video',
  name: `video-${size}p.mp4`,
  sequence: `v${size}`,
  codecs: 'avc1.64001f',
  width: Math.round((size * 16) / 9),
  height: size,
  frameRate: { num: 25, den: 1 },
  videoRange: 'SDR',
  averageBitrate: size * 1000,
  peakBitrate: size * 2000,
  ...over,
})
const audio = (language: string, over: Partial<AudioFile> = {}): AudioFile => ({
  ...hash,
  ...timed,
  role: 'audio',
  name: `audio-${language}.mp4`,
  sequence: `a${language}`,
  codecs: 'mp4a.40.2',
  language,
  label: language.toUpperCase(),
  default: false,
  channels: 2,
  sampleRate: 48_000,
  averageBitrate: 120_000,
  peakBitrate: 128_000,
  ...over,
})
const subtitles = (language: string, over: Partial<TextFile> = {}): TextFile => ({
  ...hash,
  role: 'text',
  name: `text-${language}.vtt`,
  sequence: `t${language}`,
  codecs: 'wvtt',
  language,
  label: language.toUpperCase(),
  default: false,
  forced: false,
  ...over,
})
const asset = (...files: Asset['files']): Asset => ({
  version: 1,
  videoId: '01hzzzzzzzzzzzzzzzzzzzzzzz',
  rev: 'r7',
  attempt: 7,
  createdAt: '2024-01-01T00:00:00Z',
  duration: 10,
  segmentDuration: 4,
  gop: 2,
  preset: { name: 'default', version: 1 },
  warnings: [],
  files,
})
const render = (...files: Asset['files']) =>
  renderManifests(
    asset(...files),
    files.map((file) => (file.role === 'text' ? [] : file.role === 'video' ? [4, 4, 2] : [4.010667, 3.989333, 2.026667])),
  ).files
const linesOf = (text: string | undefined, start: string) => text!.split('\n').filter((line) => line.startsWith(start))

describe('refuses', () => {
  const badAsset = expect.objectContaining({ code: 'bad-asset-json' })
  it('an asset with nothing to play', () => {
    expect(() => render(subtitles('eng'))).toThrow(badAsset)
  })
  it('two sequences whose playlists would have one name', () => {
    expect(() => render(video(360, { name: 'x.mp4' }), subtitles('eng', { name: 'x.vtt' }))).toThrow(badAsset)
  })
  it('a sequence whose playlist would take the place of the multivariant one', () => {
    expect(() => render(video(360, { name: 'main.mp4' }))).toThrow(badAsset)
  })
  it('a video without durations', () => {
    expect(() => renderManifests(asset(video(360)), [[]])).toThrow(badAsset)
  })
})

describe('a small asset', () => {
  const files = render(video(360), audio('eng', { label: 'English', default: true }), subtitles('fra', { label: 'Français', forced: true }))

  it('has one text per sequence, the multivariant playlist and the MPD', () => {
    expect(Object.keys(files).sort()).toEqual(['audio-eng.m3u8', 'main.m3u8', 'main.mpd', 'text-fra.m3u8', 'video-360p.m3u8'])
  })

  it('has this multivariant playlist', () => {
    expect(files['main.m3u8']).toBe(`#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS

#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="audio-eng.m3u8"

#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subtitles",NAME="Français",LANGUAGE="fr",DEFAULT=NO,AUTOSELECT=YES,FORCED=YES,URI="text-fra.m3u8"

#EXT-X-STREAM-INF:BANDWIDTH=855567,AVERAGE-BANDWIDTH=487025,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=25.000,VIDEO-RANGE=SDR,AUDIO="audio",SUBTITLES="subtitles"
video-360p.m3u8
`)
  })

  it('has this audio playlist', () => {
    expect(files['audio-eng.m3u8']).toBe(`#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:4
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="../../../dash/01hzzzzzzzzzzzzzzzzzzzzzzz/r7/init-f2-a1-x3.mp4"
#EXTINF:4.010667,
../../../dash/01hzzzzzzzzzzzzzzzzzzzzzzz/r7/fragment-1-f2-a1-x3.m4s
#EXTINF:3.989333,
../../../dash/01hzzzzzzzzzzzzzzzzzzzzzzz/r7/fragment-2-f2-a1-x3.m4s
#EXTINF:2.026667,
../../../dash/01hzzzzzzzzzzzzzzzzzzzzzzz/r7/fragment-3-f2-a1-x3.m4s
#EXT-X-ENDLIST
`)
  })

  it('has this text playlist', () => {
    expect(files['text-fra.m3u8']).toBe(`#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:10
#EXT-X-PLAYLIST-TYPE:VOD
#EXTINF:10.026667,
text-fra.vtt
#EXT-X-ENDLIST
`)
  })

  it('has this MPD', () => {
    expect(files['main.mpd']).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="static" mediaPresentationDuration="PT10.026667S" minBufferTime="PT4S">
  <Period id="0" start="PT0S">
    <AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1" maxWidth="640" maxHeight="360">
      <SegmentTemplate timescale="90000" media="../../../dash/01hzzzzzzzzzzzzzzzzzzzzzzz/r7/fragment-$Number$-$RepresentationID$.m4s" initialization="../../../dash/01hzzzzzzzzzzzzzzzzzzzzzzz/r7/init-$RepresentationID$.mp4" startNumber="1">
        <SegmentTimeline>
          <S t="0" d="360000" r="1"/>
          <S d="180000"/>
        </SegmentTimeline>
      </SegmentTemplate>
      <Representation id="f1-v1-x3" codecs="avc1.64001f" bandwidth="723888" width="640" height="360" frameRate="25" sar="1:1"/>
    </AdaptationSet>
    <AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" lang="en" segmentAlignment="true" startWithSAP="1">
      <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
      <Label>English</Label>
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
      <SegmentTemplate timescale="90000" media="../../../dash/01hzzzzzzzzzzzzzzzzzzzzzzz/r7/fragment-$Number$-$RepresentationID$.m4s" initialization="../../../dash/01hzzzzzzzzzzzzzzzzzzzzzzz/r7/init-$RepresentationID$.mp4" startNumber="1">
        <SegmentTimeline>
          <S t="0" d="360960"/>
          <S d="359040"/>
          <S d="182400"/>
        </SegmentTimeline>
      </SegmentTemplate>
      <Representation id="f2-a1-x3" codecs="mp4a.40.2" bandwidth="131679" audioSamplingRate="48000"/>
    </AdaptationSet>
    <AdaptationSet id="2" contentType="text" mimeType="text/vtt" lang="fr">
      <Label>Français</Label>
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="forced-subtitle"/>
      <Representation id="f3-text" bandwidth="798">
        <BaseURL>text-fra.vtt</BaseURL>
      </Representation>
    </AdaptationSet>
  </Period>
</MPD>
`)
  })
})

describe('variants', () => {
  it('begin with the largest rung up to 720p, for portrait too, then fall', () => {
    const landscape = render(video(1080), video(360), video(720), video(540))['main.m3u8']
    expect(linesOf(landscape, 'video-')).toEqual(['video-720p.m3u8', 'video-1080p.m3u8', 'video-540p.m3u8', 'video-360p.m3u8'])
    const portrait = render(...[1080, 720, 360].map((size) => video(size, { width: size, height: Math.round((size * 16) / 9) })))[
      'main.m3u8'
    ]
    expect(linesOf(portrait, 'video-')).toEqual(['video-720p.m3u8', 'video-1080p.m3u8', 'video-360p.m3u8'])
  })

  it('begin with the smallest where all are larger', () => {
    expect(linesOf(render(video(2160), video(1080))['main.m3u8'], 'video-')[0]).toBe('video-1080p.m3u8')
  })

  it('reckon with the heaviest audio and name all codecs', () => {
    const [light, heavy] = [audio('eng'), audio('fra', { codecs: 'ec-3', peakBitrate: 900_000 })]
    const [line] = linesOf(render(video(360), light, heavy)['main.m3u8'], '#EXT-X-STREAM-INF')
    expect(line).toContain('CODECS="avc1.64001f,mp4a.40.2,ec-3"')
    expect(Number(/BANDWIDTH=(\d+)/.exec(line!)![1])).toBeGreaterThan(720_000 + 900_000)
  })

  it('of a week are written too', () => {
    const seconds = Array<number>(600_000).fill(1)
    const files = renderManifests(asset(video(360)), [seconds]).files
    expect(files['main.mpd']).toContain('<S t="0" d="90000" r="599999"/>')
    expect(linesOf(files['video-360p.m3u8'], '#EXTINF:1.000000,')).toHaveLength(600_000)
  })

  it('name no group where there is no such track', () => {
    expect(render(video(360))['main.m3u8']).not.toMatch(/AUDIO|SUBTITLES|EXT-X-MEDIA/)
  })

  it('say a broken frame rate with three decimals, and HDR', () => {
    const [line] = linesOf(
      render(video(360, { frameRate: { num: 24_000, den: 1001 }, videoRange: 'PQ' }))['main.m3u8'],
      '#EXT-X-STREAM-INF',
    )
    expect(line).toContain('FRAME-RATE=23.976,VIDEO-RANGE=PQ')
  })
})

describe('sound only', () => {
  it('with one track is one variant and no group', () => {
    const main = render(audio('eng'))['main.m3u8']
    expect(linesOf(main, '#EXT-X-MEDIA')).toEqual([])
    expect(main).toMatch(/CODECS="mp4a.40.2"\naudio-eng.m3u8\n$/)
  })

  it('with several tracks is one variant that is the default track itself', () => {
    const main = render(audio('eng'), audio('fra', { default: true }))['main.m3u8']
    const fallback = linesOf(main, '#EXT-X-MEDIA').find((line) => line.includes('DEFAULT=YES'))!
    expect(linesOf(main, '#EXT-X-STREAM-INF')).toHaveLength(1)
    expect(linesOf(main, 'audio-')).toEqual([/URI="(.*)"/.exec(fallback)![1]])
    expect(fallback).toContain('LANGUAGE="fr"')
    expect(linesOf(main, '#EXT-X-STREAM-INF')[0]).toContain('AUDIO="audio"')
  })
})

describe('renditions', () => {
  const audioLines = (...files: AudioFile[]) => linesOf(render(video(360), ...files)['main.m3u8'], '#EXT-X-MEDIA')
  const flags = (lines: string[]) => lines.map((line) => /DEFAULT=(\w+),AUTOSELECT=(\w+)/.exec(line)!.slice(1).join())
  const twin = (n: number, over: Partial<AudioFile> = {}) =>
    audio('eng', { name: `audio-${n}.mp4`, sequence: `a${n}`, label: 'English', ...over })

  it('have one default, the first audio where none is marked', () => {
    expect(flags(audioLines(audio('eng'), audio('fra')))).toEqual(['YES,YES', 'NO,YES'])
    expect(flags(audioLines(audio('eng', { default: true }), audio('fra', { default: true })))).toEqual(['YES,YES', 'NO,YES'])
    const text = linesOf(render(video(360), subtitles('eng'), subtitles('fra'))['main.m3u8'], '#EXT-X-MEDIA')
    expect(flags(text)).toEqual(['NO,YES', 'NO,YES'])
  })

  it('of one language leave the automatic choice to one of them, the default if it is among them', () => {
    expect(flags(audioLines(twin(1), twin(2), audio('fra')))).toEqual(['YES,YES', 'NO,NO', 'NO,YES'])
    expect(flags(audioLines(twin(1), twin(2, { default: true })))).toEqual(['NO,NO', 'YES,YES'])
  })

  it('have names of their own where labels repeat', () => {
    const names = audioLines(twin(1), twin(2), twin(3, { label: 'English (2)' })).map((line) => /NAME="(.*?)"/.exec(line)![1])
    expect(names).toEqual(['English', 'English (2)', 'English (2) (2)'])
  })

  it('have BCP 47 languages, or none', () => {
    const languages = ['ger', 'zho', 'pt-br', 'und', 'x1'].map((language, n) => audio(language, { name: `a${n}.mp4`, sequence: `a${n}` }))
    expect(audioLines(...languages).map((line) => /LANGUAGE="(.*?)"/.exec(line)?.[1])).toEqual(['de', 'zh', 'pt-BR', undefined, undefined])
  })

  it('say HDR to DASH, and keep rungs of another range apart', () => {
    const mpd = render(video(720, { videoRange: 'HLG' }), video(360))['main.mpd']!
    expect(mpd).toContain('<EssentialProperty schemeIdUri="urn:mpeg:mpegB:cicp:TransferCharacteristics" value="18"/>')
    expect(mpd.match(/contentType="video"/g)).toHaveLength(2)
  })

  it('of unequal timelines each have their own in the MPD', () => {
    const mpd = renderManifests(asset(video(720), video(360)), [
      [4, 4],
      [4, 3.96],
    ]).files['main.mpd']!
    expect(mpd).toContain('segmentAlignment="false"')
    expect(mpd.match(/<SegmentTimeline>/g)).toHaveLength(2)
  })
})

describe('labels from anywhere', () => {
  const label = fc.oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
    fc.string({
      minLength: 1,
      maxLength: 40,
      unit: fc.constantFrom('"', '\n', '\r', ',', '=', '#', '<', '>', '&', "'", '\u2028', '\u0085', '\ud800', '\0', ']', ' ', 'é'),
    }),
  )
  const attribute = /^([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(?:,|$)/

  it('never break a line, a quoted string, a name or the XML', () => {
    fc.assert(
      fc.property(label, label, fc.string({ minLength: 2, maxLength: 8 }), (first, second, language) => {
        const files = render(
          video(360),
          audio('eng', { label: first }),
          audio('fra', { label: second, language }),
          subtitles('eng', { label: first }),
        )
        const media = linesOf(files['main.m3u8'], '#EXT-X-MEDIA:')
        expect(files['main.m3u8']!.split(/[\r\n\u0085\u2028\u2029]/)).toHaveLength(12)
        expect(media).toHaveLength(3)
        for (const line of media) {
          const names: string[] = []
          for (let rest = line.slice('#EXT-X-MEDIA:'.length); rest !== ''; ) {
            const match = attribute.exec(rest)
            if (!match) throw new Error(`malformed: ${rest}`)
            names.push(match[1]!)
            rest = rest.slice(match[0].length)
          }
          expect(new Set(names).size).toBe(names.length)
        }
        const mpd = files['main.mpd']!
        const tags = mpd.match(/<[^<>]*>/g)!
        expect(tags.filter((tag) => tag.startsWith('</')).length).toBe(
          tags.filter((tag) => /^<[A-Za-z]/.test(tag) && !tag.endsWith('/>')).length,
        )
        expect(mpd.replace(/&(amp|lt|gt|quot|apos);/g, '')).not.toContain('&')
        // XML 1.0 §2.2: what a document may not contain at all.
        expect(mpd).not.toMatch(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u)
      }),
      { numRuns: 300 },
    )
  })
})

it('playlists of picture and sound have one target duration, also where one is shorter than the other (RFC 8216bis §6.2.4)', () => {
  const { files } = renderManifests(asset(video(360), audio('eng'), audio('fra'), subtitles('eng')), [[2.4], [4.010667, 0.5], [1.2], []])
  const targets = ['video-360p', 'audio-eng', 'audio-fra'].map((name) => linesOf(files[`${name}.m3u8`], '#EXT-X-TARGETDURATION'))
  expect(new Set(targets.flat())).toEqual(new Set(['#EXT-X-TARGETDURATION:4']))
})
