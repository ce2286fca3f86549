import type { Asset, VideoFile } from '@millrace/common/contracts/asset'
import { TICKS_PER_SECOND } from '../ticks.js'
import { type AudioTrack, type TextTrack, type Tracks, urlName, type VideoTrack } from './tracks.js'

type Attributes = Record<string, string | number | undefined>

const ROLE = 'urn:mpeg:dash:role:2011'
const CHANNEL_CONFIGURATION = 'urn:mpeg:dash:23003:3:audio_channel_configuration:2011'
const CICP = 'urn:mpeg:mpegB:cicp:'
/** TransferCharacteristics of ISO 23091-2; SDR is what players assume. */
const TRANSFER: Record<VideoFile['videoRange'], number | undefined> = { SDR: undefined, PQ: 16, HLG: 18 }

/** The MPD of the same segments (ISO 23009-1): static, one period, exact timelines. The order of elements is that of its schema. */
export function renderMpd(asset: Asset, tracks: Tracks): string {
  const sets = [
    ...groupBy(tracks.video, ({ file }) => `${file.videoRange} ${file.codecs.split('.')[0]}`).map((rungs) => videoSet(tracks, rungs)),
    ...tracks.audio.map((track) => audioSet(tracks, track)),
    ...tracks.text.map((track) => textSet(tracks, track)),
  ]
  const period = element(
    'Period',
    { id: '0', start: 'PT0S' },
    sets.flatMap((set, id) => set(id)),
  )
  const mpd = element(
    'MPD',
    {
      xmlns: 'urn:mpeg:dash:schema:mpd:2011',
      profiles: 'urn:mpeg:dash:profile:isoff-live:2011',
      type: 'static',
      mediaPresentationDuration: `PT${decimal(tracks.seconds)}S`,
      minBufferTime: `PT${decimal(asset.segmentDuration)}S`,
    },
    period,
  )
  return `<?xml version="1.0" encoding="UTF-8"?>\n${mpd.join('\n')}\n`
}

/** Rungs that a player may switch between. */
function videoSet(tracks: Tracks, rungs: VideoTrack[]): (id: number) => string[] {
  const timelines = rungs.map(({ durations }) => timeline(durations))
  const aligned = timelines.every((lines) => lines.join() === timelines[0]!.join())
  const transfer = TRANSFER[rungs[0]!.file.videoRange]
  const representations = rungs.flatMap((track, i) => {
    const { codecs, width, height, frameRate } = track.file
    const attributes = { id: urlName(track), codecs, bandwidth: track.peak, width, height, frameRate: rational(frameRate), sar: '1:1' }
    return element('Representation', attributes, aligned ? [] : segmentTemplate(tracks, timelines[i]!))
  })
  return (id) =>
    element(
      'AdaptationSet',
      {
        id,
        contentType: 'video',
        mimeType: 'video/mp4',
        segmentAlignment: `${aligned}`,
        startWithSAP: 1,
        maxWidth: Math.max(...rungs.map(({ file }) => file.width)),
        maxHeight: Math.max(...rungs.map(({ file }) => file.height)),
      },
      [...(transfer ? wideGamut(transfer) : []), ...(aligned ? segmentTemplate(tracks, timelines[0]!) : []), ...representations],
    )
}

function audioSet(tracks: Tracks, track: AudioTrack): (id: number) => string[] {
  const { codecs, sampleRate, channels } = track.file
  return (id) =>
    element(
      'AdaptationSet',
      { id, contentType: 'audio', mimeType: 'audio/mp4', lang: track.language, segmentAlignment: 'true', startWithSAP: 1 },
      [
        ...element('AudioChannelConfiguration', { schemeIdUri: CHANNEL_CONFIGURATION, value: channelConfiguration(channels) }),
        ...label(track.name),
        ...role(track.isDefault ? 'main' : 'alternate'),
        ...segmentTemplate(tracks, timeline(track.durations)),
        ...element('Representation', { id: urlName(track), codecs, bandwidth: track.peak, audioSamplingRate: sampleRate }),
      ],
    )
}

/** The whole WebVTT file beside the MPD. */
function textSet(tracks: Tracks, track: TextTrack): (id: number) => string[] {
  const bandwidth = Math.ceil((track.file.bytes * 8) / tracks.seconds)
  return (id) =>
    element('AdaptationSet', { id, contentType: 'text', mimeType: 'text/vtt', lang: track.language }, [
      ...label(track.name),
      ...role(track.file.forced ? 'forced-subtitle' : 'subtitle'),
      ...(track.isDefault ? role('main') : []),
      ...element('Representation', { id: `f${track.sequence}-text`, bandwidth }, [`<BaseURL>${escapeXml(track.file.name)}</BaseURL>`]),
    ])
}

function segmentTemplate(tracks: Tracks, timelineLines: string[]): string[] {
  const media = `${tracks.segmentFolder}fragment-$Number$-$RepresentationID$.m4s`
  const initialization = `${tracks.segmentFolder}init-$RepresentationID$.mp4`
  return element('SegmentTemplate', { timescale: TICKS_PER_SECOND, media, initialization, startNumber: 1 }, timelineLines)
}

/** Runs of equal durations in ticks; times follow from them, since segments join without gap. */
function timeline(durations: readonly number[]): string[] {
  const runs: { d: number; r: number }[] = []
  for (const seconds of durations) {
    const d = Math.round(seconds * TICKS_PER_SECOND)
    const last = runs.at(-1)
    if (last?.d === d) last.r++
    else runs.push({ d, r: 0 })
  }
  return element(
    'SegmentTimeline',
    {},
    runs.flatMap(({ d, r }, i) => element('S', { t: i === 0 ? 0 : undefined, d, r: r || undefined })),
  )
}

/** HDR rungs are BT.2020 (ColourPrimaries 9, MatrixCoefficients 9). */
function wideGamut(transfer: number): string[] {
  const values = { ColourPrimaries: 9, TransferCharacteristics: transfer, MatrixCoefficients: 9 }
  return Object.entries(values).flatMap(([name, value]) => element('EssentialProperty', { schemeIdUri: CICP + name, value }))
}

function label(text: string): string[] {
  return [`<Label>${escapeXml(text)}</Label>`]
}

function role(value: string): string[] {
  return element('Role', { schemeIdUri: ROLE, value })
}

/** ChannelConfiguration of ISO 23003-3: up to 6 it is the number of channels. */
function channelConfiguration(channels: number): number {
  return { 7: 11, 8: 12 }[channels] ?? channels
}

function rational({ num, den }: { num: number; den: number }): string {
  return den === 1 ? `${num}` : `${num}/${den}`
}

/** Never in exponential notation. */
function decimal(value: number): string {
  return value.toFixed(6).replace(/\.?0+$/, '')
}

function groupBy<T>(values: readonly T[], keyOf: (value: T) => string): T[][] {
  const groups = new Map<string, T[]>()
  for (const value of values) groups.set(keyOf(value), [...(groups.get(keyOf(value)) ?? []), value])
  return [...groups.values()]
}

/** An XML element as lines, its children indented. */
function element(name: string, attributes: Attributes, children: readonly string[] = []): string[] {
  const start = [
    name,
    ...Object.entries(attributes).flatMap(([key, value]) => (value === undefined ? [] : `${key}="${escapeXml(`${value}`)}"`)),
  ].join(' ')
  return children.length === 0 ? [`<${start}/>`] : [`<${start}>`, ...children.map((line) => `  ${line}`), `</${name}>`]
}

function escapeXml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' }
  return text.replace(/[&<>"']/g, (character) => entities[character]!)
}
