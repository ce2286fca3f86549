import { bucketRate, taken, waitFor } from '../limits/token-bucket.js'
import { type Cmcd, checkCmcd } from './cmcd.js'
import type { CmcdCounters } from './metrics.js'
import { type CmcdValues, parseByLibrary, parsePlain } from './parse.js'
import { headerPayload, queryPayload } from './payload.js'

export interface CmcdReaderOptions {
  /** Fraction of the requests that are read and counted. */
  sample: number
  /** Whether what a player names as its next object is read of all requests: then it is read of the others too, and not counted. */
  next: boolean
  random: () => number
  /** Milliseconds of a clock that doesn't go back. */
  now: () => number
  counters: CmcdCounters
}

/**
 * Milliseconds per second that payloads may take which only the library can read. A hostile one of the longest takes it several
 * milliseconds; without this bound some hundred such requests per second would stop a worker.
 */
const LIBRARY_MS_PER_SECOND = 20
const LIBRARY_BURST_MS = 20

/** Reads what players tell, and counts it of a sample of the requests. */
export class CmcdReader {
  readonly #options: CmcdReaderOptions
  readonly #library = bucketRate(LIBRARY_MS_PER_SECOND, LIBRARY_BURST_MS)
  #libraryFullAt = 0

  constructor(options: CmcdReaderOptions) {
    this.#options = options
  }

  /**
   * @param query of the request, as sent
   * @param fields the values of `CMCD_FIELDS`; read when the query has none
   * @returns undefined when there is none, or this request is not in the sample and names no next object
   */
  read(query: string, fields?: readonly (string | undefined)[]): Cmcd | undefined {
    if (query === '' && fields === undefined) return undefined
    const { sample, random, counters, next } = this.#options
    const counted = sample >= 1 || random() < sample
    if (!counted && !next) return undefined
    const payload = (query === '' ? undefined : queryPayload(query)) ?? (fields && headerPayload(fields))
    if (payload === undefined) return undefined
    if (payload === 'invalid') {
      if (counted) counters.flawed('payload')
      return undefined
    }
    if (!counted && !payload.text.includes('nor=')) return undefined
    const values = parsePlain(payload.text) ?? this.#parseSlowly(payload.text, counted)
    if (values === undefined) return undefined
    const { cmcd, invalid } = checkCmcd(values)
    if (!counted) return cmcd
    if (invalid > 0) counters.flawed('value', invalid)
    counters.count(cmcd)
    return cmcd
  }

  #parseSlowly(text: string, counted: boolean): CmcdValues | undefined {
    const { now, counters } = this.#options
    const began = now()
    if (waitFor(this.#library, this.#libraryFullAt, began, 1) > 0) {
      if (counted) counters.flawed('skipped')
      return undefined
    }
    const values = parseByLibrary(text)
    this.#libraryFullAt = taken(this.#library, this.#libraryFullAt, began, now() - began)
    if (values === undefined && counted) counters.flawed('payload')
    return values
  }
}
