import { badMedia } from './boxes.js'
import { type SampleTable, sizeOf } from './sample-table.js'
import { TICKS_PER_SECOND, toTicks } from './ticks.js'

/** Where a segment starts, in every table at once, so that building it needs no search. */
export interface SegmentStart {
  sample: number
  /** Decoding time: in the track's own units, and in served ticks. */
  dts: number
  ticks: number
  /** Indexes into the table's `runs` and `extents`. */
  run: number
  extent: number
  /** Of the first sample, in the file. */
  offset: number
  /** Of all samples before it together. */
  bytes: number
}

/** A referenced size in `sidx` has 31 bits, its duration 32 (ISO 14496-12 §8.16.3). */
const MAX_SEGMENT_BYTES = 2 ** 31 - 1
const MAX_SEGMENT_TICKS = 2 ** 32 - 1
/** Bounds the memory of a header, which has up to 16 bytes per sample. */
const MAX_SEGMENT_SAMPLES = 2 ** 18
const MIN_SEGMENT_MS = 500

/**
 * Cuts a track into segments: boundary k is the first sync sample (audio: the first sample) with dts ≥ k × `segmentMs`, and the last
 * segment is what remains. Where sync samples are further apart than that, several k fall on one boundary: this makes one longer
 * segment, and the numbers go on without a gap, so that no number names an empty segment (nginx-vod-module has empty ones there).
 *
 * @returns the start of each segment, and one more entry for the end of the track.
 * @throws MillraceError `bad-media` for a video that doesn't begin with a sync sample, and for segments beyond what the boxes can say.
 */
export function cutSegments(table: SampleTable, segmentMs: number): SegmentStart[] {
  if (!(segmentMs >= MIN_SEGMENT_MS)) throw badMedia(`a segment duration of ${segmentMs} ms`)
  const { count, timescale, sizes, runs, extents } = table
  const sync = table.media === 'video' ? table.syncSamples : undefined
  if (sync && sync[0] !== 0) throw badMedia('the video does not begin with a key frame')
  const starts: SegmentStart[] = []
  const at: SegmentStart = { sample: 0, dts: 0, ticks: 0, run: 0, extent: 0, offset: extents.offset[0]!, bytes: 0 }
  let nextSync = 0
  let boundary = 0
  for (; at.sample < count; at.sample++) {
    while (runs.first[at.run + 1]! <= at.sample) at.run++
    if (extents.first[at.extent + 1] === at.sample) at.offset = extents.offset[++at.extent]!
    const isSync = !sync || sync[nextSync] === at.sample
    if (isSync) nextSync++
    if (isSync && at.dts >= boundary) {
      at.ticks = toTicks(at.dts, timescale)
      if (at.ticks !== starts.at(-1)?.ticks) starts.push({ ...at })
      const passed = Math.floor((at.dts * 1000) / (segmentMs * timescale))
      boundary = ((passed + 1) * segmentMs * timescale) / 1000
    }
    const size = sizeOf(sizes, at.sample)
    at.dts += runs.delta[at.run]!
    at.offset += size
    at.bytes += size
  }
  at.ticks = toTicks(at.dts, timescale)
  // A last sample without duration belongs to the segment before it, even where it could begin one.
  if (starts.at(-1)!.ticks === at.ticks) starts.pop()
  if (starts.length === 0) throw badMedia('the samples have no duration')
  starts.push(at)
  checkLimits(starts)
  return starts
}

/** Seconds of each segment, exact to the served tick. */
export function durationsOf(starts: readonly SegmentStart[]): number[] {
  return starts.slice(1).map((end, i) => (end.ticks - starts[i]!.ticks) / TICKS_PER_SECOND)
}

function checkLimits(starts: readonly SegmentStart[]): void {
  for (let i = 1; i < starts.length; i++) {
    const [start, end] = [starts[i - 1]!, starts[i]!]
    const samples = end.sample - start.sample
    const bytes = end.bytes - start.bytes + 16 * samples + 256
    if (samples > MAX_SEGMENT_SAMPLES) throw badMedia(`segment ${i} has ${samples} samples: are there no key frames?`)
    if (bytes > MAX_SEGMENT_BYTES) throw badMedia(`segment ${i} has ${bytes} bytes: are there no key frames?`)
    if (end.ticks - start.ticks > MAX_SEGMENT_TICKS) throw badMedia(`segment ${i} is longer than 13 hours: are there no key frames?`)
  }
}
