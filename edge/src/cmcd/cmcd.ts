import type { CmcdValues } from './parse.js'
import { OBJECT_TYPES, type ObjectType, STREAMING_FORMATS, type StreamingFormat } from './vocabulary.js'

/** What a player said of itself with one request (CTA-5004): only what the edge uses, checked. */
export interface Cmcd {
  /** `bl`: milliseconds of media in its buffer. */
  bufferMs?: number
  /** `mtp`: its own measure of the throughput, kbit/s. */
  throughputKbps?: number
  /** `dl`: milliseconds until it runs dry without this object. */
  deadlineMs?: number
  /** `br`: encoded bitrate of the object, kbit/s. */
  bitrateKbps?: number
  objectType?: ObjectType
  format?: StreamingFormat
  /** `su`: needed urgently because of startup, a seek, or an empty buffer. */
  startup: boolean
  /** `bs`: it ran dry before this request. */
  starved: boolean
  /** `sid`: its playback session. */
  session?: string
  /** `nor`: the object it will ask for next, relative to this one; not decoded. */
  next?: string
}

/** What no player means in earnest. */
const MAX_MS = 3_600_000
const MAX_KBPS = 10_000_000
const SESSION = /^[\x21-\x7e]{1,64}$/
const NEXT = /^[\x21-\x7e]{1,1024}$/

/** @returns how many values were left out, because they are of the wrong type or beyond any sense. */
export function checkCmcd(values: CmcdValues): { cmcd: Cmcd; invalid: number } {
  const cmcd: Cmcd = { startup: false, starved: false }
  let invalid = 0
  const take = <K extends keyof Cmcd>(name: K, given: unknown, checked: Cmcd[K] | undefined) => {
    if (checked !== undefined) cmcd[name] = checked
    else if (given !== undefined) invalid++
  }
  take('bufferMs', values.bl, within(values.bl, MAX_MS))
  take('throughputKbps', values.mtp, within(values.mtp, MAX_KBPS))
  take('deadlineMs', values.dl, within(values.dl, MAX_MS))
  take('bitrateKbps', values.br, within(values.br, MAX_KBPS))
  take('objectType', values.ot, member(OBJECT_TYPES, values.ot))
  take('format', values.sf, member(STREAMING_FORMATS, values.sf))
  take('startup', values.su, typeof values.su === 'boolean' ? values.su : undefined)
  take('starved', values.bs, typeof values.bs === 'boolean' ? values.bs : undefined)
  take('session', values.sid, matching(values.sid, SESSION))
  take('next', values.nor, matching(values.nor, NEXT))
  return { cmcd, invalid }
}

function within(value: unknown, max: number): number | undefined {
  return typeof value === 'number' && value >= 0 && value <= max ? value : undefined
}

function matching(value: unknown, pattern: RegExp): string | undefined {
  return typeof value === 'string' && pattern.test(value) ? value : undefined
}

function member<T extends Record<string, string>>(set: T, value: unknown): T[keyof T] | undefined {
  return typeof value === 'string' && Object.hasOwn(set, value) ? (set[value] as T[keyof T]) : undefined
}
