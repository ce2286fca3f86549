/** CTA-5004 `ot`, under names that a dashboard can show; a metrics label, so a closed set. */
export const OBJECT_TYPES = {
  v: 'video',
  a: 'audio',
  av: 'muxed',
  i: 'init',
  m: 'manifest',
  c: 'caption',
  tt: 'timed-text',
  k: 'key',
  o: 'other',
} as const
export type ObjectType = (typeof OBJECT_TYPES)[keyof typeof OBJECT_TYPES]

/** CTA-5004 `sf`. */
export const STREAMING_FORMATS = { d: 'dash', h: 'hls', s: 'smooth', o: 'other' } as const
export type StreamingFormat = (typeof STREAMING_FORMATS)[keyof typeof STREAMING_FORMATS]

/** Upper bounds in kbit/s. Ladders differ from video to video, so rungs are counted by what they cost to deliver. */
const RUNGS = [
  [500, '0.5M'],
  [1000, '1M'],
  [2000, '2M'],
  [3000, '3M'],
  [5000, '5M'],
  [8000, '8M'],
  [16_000, '16M'],
] as const
export const RUNG_LABELS = [...RUNGS.map(([, label]) => label), 'above', 'unknown'] as const

/** The rung of an encoded bitrate (`br`): a metrics label, `0.5M` for up to 0.5 Mbit/s and so on. */
export function rungOf(kbps: number | undefined): (typeof RUNG_LABELS)[number] {
  if (kbps === undefined) return 'unknown'
  for (const [bound, label] of RUNGS) if (kbps <= bound) return label
  return 'above'
}
