/** One sample as the packager sees it: edit lists ignored, times in ticks of the track's timescale. */
export interface Sample {
  dts: number
  duration: number
  bytes: number
  key: boolean
}

export interface TrackMeasures {
  /** Seconds. */
  duration: number
  segmentDurations: number[]
  /** Bits per second. */
  averageBitrate: number
  peakBitrate: number
  samples: number
}

/**
 * Cuts a track into segments by the packager's rule, sample by sample, so that a long track takes no memory: boundary k is the first key
 * frame (audio: the first sample) with dts ≥ k × segmentDuration. Boundaries that fall on one sample are one boundary.
 */
export class SegmentMeter {
  readonly #timescale: number
  readonly #segmentDuration: number
  readonly #starts: number[] = []
  readonly #bytes: number[] = []
  #next = 0
  #end = 0
  #samples = 0

  constructor(timescale: number, segmentDuration: number) {
    this.#timescale = timescale
    this.#segmentDuration = segmentDuration
  }

  add(sample: Sample): void {
    const isBoundary = sample.key && sample.dts >= this.#next * this.#segmentDuration * this.#timescale
    if (isBoundary || this.#starts.length === 0) {
      this.#starts.push(sample.dts)
      this.#bytes.push(0)
      this.#next = Math.floor(sample.dts / (this.#segmentDuration * this.#timescale)) + 1
    }
    this.#bytes[this.#bytes.length - 1]! += sample.bytes
    this.#end = sample.dts + sample.duration
    this.#samples++
  }

  finish(): TrackMeasures {
    const ends = this.#starts.length === 0 ? [] : [...this.#starts.slice(1), this.#end]
    const segmentDurations = ends.map((end, at) => (end - this.#starts[at]!) / this.#timescale)
    const duration = this.#end / this.#timescale
    const total = this.#bytes.reduce((sum, bytes) => sum + bytes, 0)
    return {
      duration,
      segmentDurations,
      averageBitrate: duration > 0 ? Math.ceil((total * 8) / duration) : 0,
      peakBitrate: peakBitrate(segmentDurations, this.#bytes, this.#segmentDuration),
      samples: this.#samples,
    }
  }
}

/**
 * RFC 8216 §4.1: the largest bit rate of any contiguous set of segments whose total duration is between 0.5 and 1.5 times the target
 * duration. So a short last segment doesn't count alone. A track that is shorter than any such set has its average.
 */
export function peakBitrate(durations: number[], bytes: number[], target: number): number {
  let peak = 0
  for (let from = 0; from < durations.length; from++) {
    let seconds = 0
    let size = 0
    for (let at = from; at < durations.length && seconds < 1.5 * target; at++) {
      seconds += durations[at]!
      size += bytes[at]!
      if (seconds >= 0.5 * target && (seconds <= 1.5 * target || at === from)) peak = Math.max(peak, (size * 8) / seconds)
    }
  }
  if (peak > 0) return Math.ceil(peak)
  const seconds = durations.reduce((sum, duration) => sum + duration, 0)
  return seconds > 0 ? Math.ceil((bytes.reduce((sum, size) => sum + size, 0) * 8) / seconds) : 0
}
