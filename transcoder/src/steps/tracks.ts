import { MAX_SEQUENCES } from '@millrace/common/contracts/ids'
import type { Preset } from '@millrace/common/contracts/transcode-job'
import { languageName } from './language.js'
import type { AudioFacts, MediaFacts, TextFacts, Warning } from './media-facts.js'

export interface AudioTrack {
  streamIndex: number
  file: string
  sequence: string
  language: string
  label: string
  default: boolean
  channels: number
  /** false: the first `channels` are picked, since nobody knows which is which. */
  mixable: boolean
  sampleRate: number
  bitrateKbps: number
}

export interface TextTrack {
  streamIndex: number
  file: string
  sequence: string
  language: string
  label: string
  default: boolean
  forced: boolean
}

/** Names and settings of every audio and text track; what exceeds the sequences that an asset may have is dropped with a warning. */
export function planTracks(
  facts: Pick<MediaFacts, 'audio' | 'text'>,
  videoRungs: number,
  preset: Preset,
): { audio: AudioTrack[]; text: TextTrack[]; warnings: Warning[] } {
  const room = MAX_SEQUENCES - videoRungs
  const audio = facts.audio.slice(0, room)
  const text = facts.text.slice(0, room - audio.length)
  const dropped = facts.audio.length - audio.length + facts.text.length - text.length
  return {
    audio: planAudio(audio, preset.audio),
    text: planText(text),
    warnings:
      dropped > 0 ? [{ code: 'tracks-dropped', detail: `${dropped} tracks above the ${MAX_SEQUENCES} that an asset may have` }] : [],
  }
}

function planAudio(streams: AudioFacts[], rules: Preset['audio']): AudioTrack[] {
  const first = Math.max(
    0,
    streams.findIndex((stream) => stream.default),
  )
  const name = namer('audio', 'a')
  const label = labeller('Audio')
  return streams.map((stream, at) => {
    const channels = Math.min(stream.channels, rules.maxChannels)
    return {
      streamIndex: stream.index,
      ...name(stream.language, 'mp4'),
      language: stream.language,
      label: label(stream),
      default: at === first,
      channels,
      mixable: stream.mixable,
      sampleRate: outputSampleRate(stream.sampleRate),
      bitrateKbps: rules.bitrateKbpsPerChannel * channels,
    }
  })
}

function planText(streams: TextFacts[]): TextTrack[] {
  const first = streams.findIndex((stream) => stream.default)
  const name = namer('text', 's')
  const label = labeller('Subtitles')
  return streams.map((stream, at) => ({
    streamIndex: stream.index,
    ...name(stream.language, 'vtt'),
    language: stream.language,
    label: label(stream),
    default: at === first,
    forced: stream.forced,
  }))
}

/** The 44.1 kHz family stays what it is; everything else becomes 48 kHz. */
export function outputSampleRate(sampleRate: number): number {
  return sampleRate % 11_025 === 0 ? 44_100 : 48_000
}

/** `audio-eng.mp4` and `aeng`, the next one of that language `audio-eng-2.mp4` and `aeng2`. */
function namer(prefix: string, letter: string) {
  const files = new Set<string>()
  const sequences = new Set<string>()
  return (language: string, extension: string) => {
    const short = language.replaceAll('-', '').slice(0, 12)
    for (let n = 1; ; n++) {
      const file = n === 1 ? `${prefix}-${language}.${extension}` : `${prefix}-${language}-${n}.${extension}`
      const sequence = n === 1 ? `${letter}${short}` : `${letter}${short}${n}`
      if (files.has(file) || sequences.has(sequence)) continue
      files.add(file)
      sequences.add(sequence)
      return { file, sequence }
    }
  }
}

const LONGEST_LABEL = 100

/** A track's title, else its language's name, else what it is; no two alike (RFC 8216 §4.3.4.1.1 wants NAMEs unique in a group). */
function labeller(fallback: string) {
  const taken = new Set<string>()
  return (track: { title: string | undefined; language: string }) => {
    const title = track.title && printable(track.title)
    const wanted = title || languageName(track.language) || fallback
    let label = wanted
    for (let n = 2; taken.has(label); n++) label = `${wanted} ${n}`
    taken.add(label)
    return label
  }
}

/** Labels end up inside quoted attributes: no control characters, no double quotes. */
function printable(text: string): string {
  return text
    .replace(/\p{Cc}/gu, ' ')
    .replaceAll('"', '’')
    .trim()
    .slice(0, LONGEST_LABEL)
}
