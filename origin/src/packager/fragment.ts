import { box, wide, words } from './boxes.js'
import type { ByteRange } from './packager.js'
import { type SampleTable, sizeOf } from './sample-table.js'
import type { SegmentStart } from './segmenter.js'
import { TICKS_PER_SECOND, toTicks } from './ticks.js'

const STYP = box('styp', Buffer.from('msdh\0\0\0\0msdhmsix', 'latin1'))

/** trun: data offset, duration and size of each sample; video also flags and composition offset (ISO 14496-12 §8.8.8). */
const AUDIO_TRUN = 0x000301
/** Version 1: composition offsets are signed. */
const VIDEO_TRUN = 0x01000f01
const NON_SYNC_SAMPLE = 0x00010000
const DEFAULT_BASE_IS_MOOF = 0x020000
/** sidx: the one subsegment starts with a stream access point of type 1 (§8.16.3). */
const STARTS_WITH_SAP_1 = 0x90000000
const UINT32 = 2 ** 32
/** Bytes per sample in the trun. */
const VIDEO_ENTRY = 16
const AUDIO_ENTRY = 8

/** The most that `buildFragment` puts before the samples, in bytes. */
export function fragmentHeaderBytes(media: 'video' | 'audio', samples: number): number {
  return 172 + (media === 'video' ? VIDEO_ENTRY : AUDIO_ENTRY) * samples
}

/**
 * A fragment: `head` is styp, sidx, moof and the header of mdat; the samples themselves stay in the file. Byte for byte what
 * nginx-vod-module answers to `-x3` names: times in 90 kHz ticks, each rounded from its absolute source time; the first sample's
 * composition offset taken off all, so that presentation begins at 0; edit lists don't count. (Where a source's timescale makes these
 * roundings disagree, the module's tfdt may be a tick off; here fragments always join exactly.)
 */
export function buildFragment(
  table: SampleTable,
  start: SegmentStart,
  end: SegmentStart,
  index: number,
): { head: Buffer; ranges: ByteRange[] } {
  const video = table.media === 'video'
  const count = end.sample - start.sample
  const entry = video ? VIDEO_ENTRY : AUDIO_ENTRY
  const trun = Buffer.alloc(12 + entry * count)
  const { earliest, ranges } = writeSamples(table, start, end, trun.subarray(12), entry)
  const large = Math.max(start.ticks, earliest) >= UINT32
  const version = large ? 0x01000000 : 0
  const time = large ? wide : (value: number) => [value]

  const mfhd = box('mfhd', words(0, index))
  const tfhd = box('tfhd', words(DEFAULT_BASE_IS_MOOF, 1))
  const tfdt = box('tfdt', words(version, ...time(start.ticks)))
  const moofBytes = 3 * 8 + mfhd.length + tfhd.length + tfdt.length + trun.length
  const mdatBytes = 8 + end.bytes - start.bytes
  trun.writeUInt32BE(video ? VIDEO_TRUN : AUDIO_TRUN, 0)
  trun.writeUInt32BE(count, 4)
  trun.writeUInt32BE(moofBytes + 8, 8)
  const subsegment = [moofBytes + mdatBytes, end.ticks - start.ticks, STARTS_WITH_SAP_1]
  const sidx = box('sidx', words(version, 1, TICKS_PER_SECOND, ...time(earliest), ...time(0), 1, ...subsegment))
  const moof = box('moof', mfhd, box('traf', tfhd, tfdt, box('trun', trun)))
  const mdat = Buffer.concat([words(mdatBytes), Buffer.from('mdat', 'latin1')])
  return { head: Buffer.concat([STYP, sidx, moof, mdat]), ranges }
}

/** Fills the entries of the trun. @returns the earliest presentation time, and where the samples lie in the file. */
function writeSamples(
  { timescale, sizes, runs, extents, compositionOffsets, syncSamples, media }: SampleTable,
  start: SegmentStart,
  end: SegmentStart,
  entries: Buffer,
  entryBytes: number,
): { earliest: number; ranges: ByteRange[] } {
  const delay = compositionOffsets ? toTicks(compositionOffsets[0]!, timescale) : 0
  const ranges: ByteRange[] = []
  let range: ByteRange = { offset: start.offset, length: 0 }
  let { run, extent, dts, ticks } = start
  let sync = syncSamples ? lowerBound(syncSamples, start.sample) : 0
  let earliest = Number.POSITIVE_INFINITY
  for (let sample = start.sample, at = 0; sample < end.sample; sample++, at += entryBytes) {
    while (runs.first[run + 1]! <= sample) run++
    if (extents.first[extent + 1] === sample) {
      if (range.length > 0) ranges.push(range)
      range = { offset: extents.offset[++extent]!, length: 0 }
    }
    const size = sizeOf(sizes, sample)
    const nextTicks = toTicks(dts + runs.delta[run]!, timescale)
    entries.writeUInt32BE(nextTicks - ticks, at)
    entries.writeUInt32BE(size, at + 4)
    let composition = 0
    if (media === 'video') {
      const isSync = !syncSamples || syncSamples[sync] === sample
      if (isSync) sync++
      if (compositionOffsets) composition = toTicks(dts + compositionOffsets[sample]!, timescale) - ticks - delay
      entries.writeUInt32BE(isSync ? 0 : NON_SYNC_SAMPLE, at + 8)
      entries.writeInt32BE(composition, at + 12)
    }
    earliest = Math.min(earliest, ticks + composition)
    range.length += size
    dts += runs.delta[run]!
    ticks = nextTicks
  }
  if (range.length > 0) ranges.push(range)
  // Leading pictures of an open GOP at the very start could be before 0, which the box can't say.
  return { earliest: Math.max(0, earliest), ranges }
}

/** The first position in an ascending array whose value is at least `wanted`. */
function lowerBound(values: Uint32Array, wanted: number): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (values[middle]! < wanted) low = middle + 1
    else high = middle
  }
  return low
}
