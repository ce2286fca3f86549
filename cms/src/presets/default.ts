import type { Preset, Rung } from '@millrace/common/contracts/transcode-job'

/**
 * The built-in ladder. CRF gives each title the bits it needs; maxrate caps what hard scenes may take, so that a rung's peak stays
 * playable on the line it is meant for: 0.4, 0.8, 1.4, 2.8 and 5 Mbit/s, each about 1.8 times the one below, a step that players
 * climb without swinging. bufsize is two seconds of maxrate: peaks even out within half a segment. Small rungs use a higher CRF,
 * since their faults are hidden by upscaling, and the main profile, for the old phones that still play them.
 */
const RUNGS: Rung[] = [
  { size: 240, crf: 25, maxrateKbps: 400, bufsizeKbps: 800, profile: 'main' },
  { size: 360, crf: 24, maxrateKbps: 800, bufsizeKbps: 1600, profile: 'main' },
  { size: 480, crf: 23, maxrateKbps: 1400, bufsizeKbps: 2800, profile: 'main' },
  { size: 720, crf: 23, maxrateKbps: 2800, bufsizeKbps: 5600, profile: 'high' },
  { size: 1080, crf: 23, maxrateKbps: 5000, bufsizeKbps: 10_000, profile: 'high' },
]

/** 4 s segments: few requests per viewer, yet a quick start and switch. 64 kbit/s per channel is transparent AAC for most ears. */
export const DEFAULT_PRESET: Preset = {
  name: 'default',
  version: 1,
  segmentDuration: 4,
  maxFrameRate: 60,
  x264Preset: 'veryfast',
  rungs: RUNGS,
  audio: { bitrateKbpsPerChannel: 64, maxChannels: 2 },
}

/** The preset with an operator's choices: another speed, or only some of the rungs. */
export function presetWith(choice: { x264Preset?: Preset['x264Preset'] | undefined; rungs?: number[] | undefined }): Preset {
  return {
    ...DEFAULT_PRESET,
    ...(choice.x264Preset && { x264Preset: choice.x264Preset }),
    ...(choice.rungs && { rungs: RUNGS.filter((rung) => choice.rungs?.includes(rung.size)) }),
  }
}
