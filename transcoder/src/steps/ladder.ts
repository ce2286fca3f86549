import type { Preset, Rung } from '@millrace/common/contracts/transcode-job'

/** One rendition to make: even size, square pixels. */
export interface VideoRung {
  file: string
  sequence: string
  width: number
  height: number
  crf: number
  maxrateKbps: number
  bufsizeKbps: number
  profile: Rung['profile']
}

/** A source this much larger than the highest rung below it gets a rung of its own size. */
const WORTH_A_RUNG = 1.1

/**
 * The rungs of a picture, largest first. A rung's size is that of the short side, so portrait and landscape get the same ladder. Nothing is
 * enlarged: a source between two rungs has its own size as the top one, encoded with the settings of the next higher rung.
 */
export function planLadder(picture: { width: number; height: number }, rungs: Preset['rungs']): VideoRung[] {
  const short = Math.min(picture.width, picture.height)
  const ascending = [...rungs].sort((a, b) => a.size - b.size)
  const fitting = ascending.filter((rung) => rung.size <= short)
  const above = ascending.find((rung) => rung.size > short)
  const largest = fitting.at(-1)
  if (above && (!largest || short >= largest.size * WORTH_A_RUNG)) fitting.push({ ...above, size: short })
  const planned = fitting.map((rung) => toRung(picture, rung))
  return planned.filter((rung, at) => planned.findIndex((other) => other.sequence === rung.sequence) === at).reverse()
}

function toRung(picture: { width: number; height: number }, rung: Rung): VideoRung {
  const short = Math.min(picture.width, picture.height)
  const long = Math.max(picture.width, picture.height)
  const shortSide = evenBelow(rung.size)
  const longSide = rung.size === short ? evenBelow(long) : evenNear((long * rung.size) / short)
  const portrait = picture.height > picture.width
  return {
    file: `video-${shortSide}p.mp4`,
    sequence: `v${shortSide}`,
    width: portrait ? shortSide : longSide,
    height: portrait ? longSide : shortSide,
    crf: rung.crf,
    maxrateKbps: rung.maxrateKbps,
    bufsizeKbps: rung.bufsizeKbps,
    profile: rung.profile,
  }
}

const evenBelow = (pixels: number) => Math.max(2, pixels - (pixels % 2))
const evenNear = (pixels: number) => Math.max(2, 2 * Math.round(pixels / 2))
