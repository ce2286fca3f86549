import { box, words } from '../src/packager/boxes.js'

export interface Synthetic {
  media?: 'video' | 'audio'
  timescale?: number
  /** [samples, ticks each] */
  stts: [number, number][]
  /** [samples, offset] */
  ctts?: [number, number][]
  /** 1-based sample numbers. */
  stss?: number[]
  /** Of each sample; or one constant size and a count. */
  sizes: number[] | { constant: number; count: number }
  /** [first chunk, samples per chunk, description] */
  stsc?: [number, number, number][]
  chunks?: number[]
  co64?: boolean
  entries?: number
}

/** The payload of a moov with one track and the given tables, right or wrong. */
export function syntheticMoov(given: Synthetic): Buffer {
  const { media = 'video', timescale = 90_000, sizes, chunks = [0], entries = 1 } = given
  const count = Array.isArray(sizes) ? sizes.length : sizes.count
  const sampleEntry = box(media === 'video' ? 'avc1' : 'mp4a', Buffer.alloc(media === 'video' ? 78 : 28))
  const tables = [
    box('stsd', words(0, entries), sampleEntry),
    box('stts', words(0, given.stts.length, ...given.stts.flat())),
    box('stsc', words(0, given.stsc?.length ?? 1, ...(given.stsc ?? [[1, count, 1]]).flat())),
    Array.isArray(sizes) ? box('stsz', words(0, 0, count, ...sizes)) : box('stsz', words(0, sizes.constant, count)),
    given.co64
      ? box('co64', words(0, chunks.length, ...chunks.flatMap((at) => [Math.floor(at / 2 ** 32), at % 2 ** 32])))
      : box('stco', words(0, chunks.length, ...chunks)),
  ]
  if (given.ctts) tables.push(box('ctts', words(0, given.ctts.length), ...given.ctts.map((entry) => words(...entry))))
  if (given.stss) tables.push(box('stss', words(0, given.stss.length, ...given.stss)))
  const hdlr = box('hdlr', words(0, 0), Buffer.from(media === 'video' ? 'vide' : 'soun'), Buffer.alloc(13))
  const mdhd = box('mdhd', words(0, 0, 0, timescale, 0, 0))
  return box('trak', box('mdia', mdhd, hdlr, box('minf', box('stbl', ...tables))))
}
