import { type Box, badMedia, boxesIn, findBox, requireBox } from './boxes.js'

/** The samples of one track, in decoding order, as typed arrays: about 4 bytes per sample, 8 with composition offsets. */
export interface SampleTable {
  media: 'video' | 'audio'
  /** Ticks per second of every time below. */
  timescale: number
  /** The sample description box as it stands in the file: codec boxes are carried over unread. */
  stsd: Buffer
  /** Pixels, of the sample entry; 0 for audio. */
  width: number
  height: number
  count: number
  /** Ticks of all samples together. */
  duration: number
  /** Bytes per sample, or the one size that all have. */
  sizes: Uint32Array | number
  /** Runs of samples with one duration: the first sample of each run, and that duration. */
  runs: { first: Uint32Array; delta: Uint32Array }
  /** Presentation minus decoding time per sample; absent where both are equal throughout. */
  compositionOffsets: Int32Array | undefined
  /** Indexes of the samples that decoding can start at; absent where that is every one. */
  syncSamples: Uint32Array | undefined
  /** Runs of samples that lie one after the other in the file: first sample and byte offset of each. */
  extents: { first: Uint32Array; offset: Float64Array }
}

/** Far above real files (48 kHz AAC for 99 hours), low enough to hold; a constant sample size needs no table that would bound it. */
const MAX_SAMPLES = 2 ** 24
const MAX_TIMESCALE = 10_000_000
const MAX_SECONDS = 7 * 86_400
const MAX_COMPOSITION_SECONDS = 10_000

/**
 * Reads the tables of the first track of one kind from the payload of a `moov` box. Every count is judged against the bytes that
 * must hold it before anything of that size is made; what the tables say is judged against each other and against the file's length.
 *
 * @throws MillraceError `bad-media`
 */
export function readSampleTable(moov: Buffer, media: 'video' | 'audio', fileBytes: number): SampleTable {
  const mdia = findTrack(moov, media === 'video' ? 'vide' : 'soun')
  const timescale = readTimescale(requireBox(mdia, 'mdhd'))
  const stbl = requireBox(mdia, 'minf/stbl').payload
  const description = readDescription(requireBox(stbl, 'stsd'), media)
  const { count, sizes } = readSizes(requireBox(stbl, 'stsz'), fileBytes)
  const { runs, duration } = readDurations(requireBox(stbl, 'stts'), count)
  if (duration === 0) throw badMedia('the samples have no duration')
  if (duration > MAX_SECONDS * timescale) throw badMedia(`${duration} ticks of 1/${timescale} s are longer than a week`)
  const ctts = findBox(stbl, 'ctts')
  const stss = findBox(stbl, 'stss')
  return {
    media,
    timescale,
    ...description,
    count,
    duration,
    sizes,
    runs,
    compositionOffsets: ctts && readCompositionOffsets(ctts, count, timescale),
    syncSamples: stss && readSyncSamples(stss, count),
    extents: readExtents(stbl, count, sizes, fileBytes),
  }
}

/** Bytes that a table holds in memory. */
export function memoryOf(table: SampleTable): number {
  const arrays = [table.runs.first, table.runs.delta, table.extents.first, table.extents.offset, table.stsd]
  for (const optional of [table.sizes, table.compositionOffsets, table.syncSamples]) {
    if (typeof optional === 'object') arrays.push(optional as Uint32Array)
  }
  return arrays.reduce((sum, array) => sum + array.byteLength, 0)
}

export function sizeOf(sizes: SampleTable['sizes'], sample: number): number {
  return typeof sizes === 'number' ? sizes : sizes[sample]!
}

function findTrack(moov: Buffer, handler: string): Buffer {
  for (const trak of boxesIn(moov)) {
    if (trak.type !== 'trak') continue
    const mdia = requireBox(trak.payload, 'mdia').payload
    const { payload } = requireBox(mdia, 'hdlr')
    if (payload.length >= 12 && payload.toString('latin1', 8, 12) === handler) return mdia
  }
  throw badMedia(`no track with handler '${handler}'`)
}

function readTimescale(mdhd: Box): number {
  const at = mdhd.payload[0] === 1 ? 20 : 12
  if (mdhd.payload.length < at + 4) throw badMedia("box 'mdhd' is cut off")
  const timescale = mdhd.payload.readUInt32BE(at)
  if (timescale === 0 || timescale > MAX_TIMESCALE) throw badMedia(`a timescale of ${timescale}`)
  return timescale
}

/** One description only: fragments name the first for all samples. */
function readDescription(stsd: Box, media: 'video' | 'audio'): Pick<SampleTable, 'stsd' | 'width' | 'height'> {
  if (stsd.payload.length < 8 || stsd.payload.readUInt32BE(4) !== 1) throw badMedia("box 'stsd' has not exactly one sample entry")
  const [entry] = boxesIn(stsd.payload.subarray(8))
  // VisualSampleEntry has 70 bytes of its own, AudioSampleEntry 20, after the 8 of every sample entry (§8.5.2).
  if (!entry || entry.payload.length < (media === 'video' ? 78 : 28)) throw badMedia('the sample entry is cut off')
  const [width, height] = media === 'video' ? [entry.payload.readUInt16BE(24), entry.payload.readUInt16BE(26)] : [0, 0]
  // A copy: a view would keep the whole moov in memory.
  return { stsd: Buffer.from(stsd.bytes), width, height }
}

/** Where a full box with a count holds its entries: `count` of `words` 32-bit words each, checked to be there. */
function entriesOf({ type, payload }: Box, words: number, countAt = 4): { count: number; word: (entry: number, word?: number) => number } {
  const start = countAt + 4
  if (payload.length < start) throw badMedia(`box '${type}' is cut off`)
  const count = payload.readUInt32BE(countAt)
  if (count * words * 4 > payload.length - start) throw badMedia(`box '${type}' claims ${count} entries in ${payload.length} bytes`)
  return { count, word: (entry, word = 0) => payload.readUInt32BE(start + 4 * (entry * words + word)) }
}

function readSizes(stsz: Box, fileBytes: number): { count: number; sizes: Uint32Array | number } {
  if (stsz.payload.length < 12) throw badMedia("box 'stsz' is cut off")
  const constant = stsz.payload.readUInt32BE(4)
  const count = stsz.payload.readUInt32BE(8)
  if (count === 0) throw badMedia('a track without samples; fragmented files are not taken')
  if (count > MAX_SAMPLES) throw badMedia(`${count} samples; at most ${MAX_SAMPLES} are taken`)
  if (constant > 0) {
    if (constant * count > fileBytes) throw badMedia(`${count} samples of ${constant} bytes in a file of ${fileBytes}`)
    return { count, sizes: constant }
  }
  const { word } = entriesOf(stsz, 1, 8)
  const sizes = new Uint32Array(count)
  for (let i = 0; i < count; i++) sizes[i] = word(i)
  return { count, sizes }
}

function readDurations(stts: Box, samples: number): { runs: SampleTable['runs']; duration: number } {
  const { count, word } = entriesOf(stts, 2)
  const runs = { first: new Uint32Array(count), delta: new Uint32Array(count) }
  let sample = 0
  let duration = 0
  for (let i = 0; i < count; i++) {
    runs.first[i] = sample
    runs.delta[i] = word(i, 1)
    sample += word(i)
    duration += word(i) * word(i, 1)
    if (sample > samples || duration > Number.MAX_SAFE_INTEGER) break
  }
  if (sample !== samples) throw badMedia(`box 'stts' has times for ${sample} samples of ${samples}`)
  return { runs, duration }
}

/** Version 0 is unsigned by the letter, but writers put negative offsets there too; as signed both come out right. */
function readCompositionOffsets(ctts: Box, samples: number, timescale: number): Int32Array {
  const { count, word } = entriesOf(ctts, 2)
  const offsets = new Int32Array(samples)
  let sample = 0
  for (let i = 0; i < count; i++) {
    const end = sample + word(i)
    if (end > samples) throw badMedia(`box 'ctts' has offsets for more than ${samples} samples`)
    const offset = word(i, 1) | 0
    if (Math.abs(offset) > MAX_COMPOSITION_SECONDS * timescale) throw badMedia(`a composition offset of ${offset} ticks`)
    offsets.fill(offset, sample, end)
    sample = end
  }
  if (sample !== samples) throw badMedia(`box 'ctts' has offsets for ${sample} samples of ${samples}`)
  return offsets
}

function readSyncSamples(stss: Box, samples: number): Uint32Array {
  const { count, word } = entriesOf(stss, 1)
  if (count > samples) throw badMedia(`box 'stss' lists ${count} of ${samples} samples`)
  const sync = new Uint32Array(count)
  let last = 0
  for (let i = 0; i < count; i++) {
    const number = word(i)
    if (number <= last || number > samples) throw badMedia(`box 'stss' lists sample ${number} after ${last}, of ${samples}`)
    sync[i] = number - 1
    last = number
  }
  return sync
}

/** Chunks (§8.7.4, §8.7.5), joined where one begins at the byte the last one ends. */
function readExtents(stbl: Buffer, samples: number, sizes: SampleTable['sizes'], fileBytes: number): SampleTable['extents'] {
  const large = findBox(stbl, 'co64')
  const chunks = large ? entriesOf(large, 2) : entriesOf(requireBox(stbl, 'stco'), 1)
  if (chunks.count > samples) throw badMedia(`${chunks.count} chunks for ${samples} samples`)
  const perChunk = samplesPerChunk(requireBox(stbl, 'stsc'))
  const first: number[] = []
  const offset: number[] = []
  let sample = 0
  let end = -1
  for (let chunk = 0; chunk < chunks.count; chunk++) {
    const start = large ? chunks.word(chunk, 0) * 2 ** 32 + chunks.word(chunk, 1) : chunks.word(chunk)
    if (start !== end) {
      first.push(sample)
      offset.push(start)
    }
    const next = sample + perChunk(chunk)
    if (next > samples) throw badMedia(`box 'stsc' puts more than ${samples} samples into chunks`)
    end = start
    for (; sample < next; sample++) end += sizeOf(sizes, sample)
    if (end > fileBytes) throw badMedia(`chunk ${chunk + 1} ends at byte ${end} of a file of ${fileBytes}`)
  }
  if (sample !== samples) throw badMedia(`chunks hold ${sample} samples of ${samples}`)
  return { first: Uint32Array.from(first), offset: Float64Array.from(offset) }
}

/** Answers for chunks 0, 1, 2 … in this order. */
function samplesPerChunk(stsc: Box): (chunk: number) => number {
  const { count, word } = entriesOf(stsc, 3)
  if (count === 0 || word(0) !== 1) throw badMedia("box 'stsc' doesn't begin with chunk 1")
  let entry = 0
  return (chunk) => {
    while (entry + 1 < count && word(entry + 1) <= chunk + 1) {
      if (word(entry + 1) <= word(entry)) throw badMedia("box 'stsc' is out of order")
      entry++
    }
    if (word(entry, 1) === 0 || word(entry, 2) !== 1) throw badMedia("box 'stsc' has an empty chunk or a second sample description")
    return word(entry, 1)
  }
}
