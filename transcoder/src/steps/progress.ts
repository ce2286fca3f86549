/** One report of ffmpeg's `-progress`: a block of `key=value` lines that ends with `progress=`. */
export interface EncodeProgress {
  /** Media seconds written so far. */
  seconds: number
  frame: number | undefined
  /** Media seconds per second; undefined while ffmpeg can't say. */
  speed: number | undefined
  end: boolean
}

/** Feeds on lines, whole or broken ones; gives a report where a block ends. Keeps nothing of what it doesn't know. */
export class ProgressParser {
  #seconds = 0
  #frame: number | undefined
  #speed: number | undefined

  push(line: string): EncodeProgress | undefined {
    const equals = line.indexOf('=')
    if (equals < 0) return undefined
    const value = line.slice(equals + 1).trim()
    switch (line.slice(0, equals).trim()) {
      case 'out_time_us': {
        const microseconds = number(value)
        // Several outputs, and timestamps before 0 at the start: it never goes back.
        if (microseconds !== undefined) this.#seconds = Math.max(this.#seconds, microseconds / 1e6)
        return undefined
      }
      case 'frame':
        this.#frame = number(value) ?? this.#frame
        return undefined
      case 'speed':
        this.#speed = number(value.replace(/x$/, ''))
        return undefined
      case 'progress':
        return { seconds: this.#seconds, frame: this.#frame, speed: this.#speed, end: value === 'end' }
      default:
        return undefined
    }
  }
}

function number(text: string): number | undefined {
  if (!/^\s*\d{1,18}(\.\d{1,9})?(e[+-]\d{1,2})?\s*$/.test(text)) return undefined
  const value = Number(text)
  return Number.isFinite(value) ? value : undefined
}
