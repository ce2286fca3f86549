import { box, wide, words } from './boxes.js'
import type { SampleTable } from './sample-table.js'
import { TICKS_PER_SECOND, toTicks } from './ticks.js'

const FTYP = box('ftyp', Buffer.from('iso5\0\0\0\x01iso5dashmsix', 'latin1'))
/** The unity transformation: 16.16 fixed point, the last column 2.30 (ISO 14496-12 §8.2.2). */
const MATRIX = [0x00010000, 0, 0, 0, 0x00010000, 0, 0, 0, 0x40000000]
const UINT32 = 2 ** 32

/**
 * The init segment of a track: byte for byte what nginx-vod-module answers to `-x3` names. The sample description is the source's own,
 * so any codec passes; the tables are empty, since the samples are in fragments.
 */
export function buildInit(table: SampleTable): Buffer {
  const duration = (roundedMs(table) * TICKS_PER_SECOND) / 1000
  const video = table.media === 'video'
  const mvhd = box(
    'mvhd',
    versioned(0, duration, (time) => [...time(0), ...time(0), TICKS_PER_SECOND, ...time(duration)]),
    words(0x00010000, 0x01000000, 0, 0, ...MATRIX, 0, 0, 0, 0, 0, 0, -1),
  )
  const mvex = box('mvex', box('trex', words(0, 1, 1, 0, 0, 0)))
  const tkhd = box(
    'tkhd',
    versioned(3, duration, (time) => [...time(0), ...time(0), 1, 0, ...time(duration)]),
    words(0, 0, 0, video ? 0 : 0x01000000, ...MATRIX, table.width * 0x10000, table.height * 0x10000),
  )
  const mdhd = box(
    'mdhd',
    versioned(0, duration, (time) => [...time(0), ...time(0), TICKS_PER_SECOND, ...time(duration)]),
    words(0),
  )
  const hdlr = box(
    'hdlr',
    words(0, 0),
    Buffer.from(`${video ? 'vide' : 'soun'}${'\0'.repeat(12)}${video ? 'Video' : 'Sound'}Handler\0`, 'latin1'),
  )
  const header = video ? box('vmhd', words(1, 0, 0)) : box('smhd', words(0, 0))
  const dinf = box('dinf', box('dref', words(0, 1), box('url ', words(1))))
  const stbl = box(
    'stbl',
    table.stsd,
    box('stts', words(0, 0)),
    box('stsc', words(0, 0)),
    box('stsz', words(0, 0, 0)),
    box('stco', words(0, 0)),
  )
  const trak = box('trak', tkhd, box('mdia', mdhd, hdlr, box('minf', header, dinf, stbl)))
  return Buffer.concat([FTYP, box('moov', mvhd, mvex, trak)])
}

/** The module takes durations here from its whole milliseconds. */
function roundedMs({ duration, timescale }: SampleTable): number {
  return Math.round(toTicks(duration, timescale) / (TICKS_PER_SECOND / 1000))
}

/** Version and flags, then fields whose times have 32 bits, or in version 1 64 bits where the duration needs them. */
function versioned(flags: number, duration: number, fields: (time: (value: number) => number[]) => number[]): Buffer {
  const large = duration >= UINT32
  return words((large ? 0x01000000 : 0) | flags, ...fields(large ? wide : (value) => [value]))
}
