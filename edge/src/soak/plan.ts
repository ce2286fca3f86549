import { pick } from '../harness/random.js'
import type { SoakObject } from './catalog.js'

/** One request as a client means to make it, and what it may be answered. */
export interface Plan {
  object: SoakObject
  method: 'GET' | 'HEAD'
  headers: Record<string, string>
  /** Bytes [start, end) of the body that a 206 has; absent where none was asked for. */
  part?: { start: number; end: number }
  /** Statuses that are right. */
  right: readonly number[]
  /** Leaves after so many bytes. */
  abortAfter?: number
  /** Reads with pauses. */
  slow: boolean
}

/** What clients do: mostly whole objects, some far more often than others; ranges, conditions, HEAD; some leave early, some read slowly. */
export function planRequest(objects: readonly SoakObject[], random: () => number): Plan {
  // Cubed, so that a tenth of the objects gets nearly half of the requests.
  const object = objects[Math.floor(random() ** 3 * objects.length)]!
  const base = { object, method: 'GET' as const, headers: {}, slow: random() < 0.02 }
  const kind = random()
  const plan = kind < 0.25 ? rangePlan(base, random) : kind < 0.35 ? otherPlan(base, random) : { ...base, right: [200] }
  return random() < 0.1 ? { ...plan, abortAfter: Math.floor(random() * object.bytes) } : plan
}

type Base = Omit<Plan, 'right'>

function rangePlan(base: Base, random: () => number): Plan {
  const { bytes, etag } = base.object
  const start = Math.floor(random() * bytes)
  const last = start + Math.floor(random() * 50_000)
  const suffix = 1 + Math.floor(random() * 30_000)
  const kind = pick(['first-last', 'from', 'suffix', 'beyond', 'if-range', 'if-range-other'] as const, random)
  const closed = { start, end: Math.min(bytes, last + 1) }
  const headers = { range: `bytes=${start}-${last}` }
  // Nothing in an empty object can be selected.
  if (kind === 'beyond' || bytes === 0) return { ...base, headers: { range: `bytes=${bytes}-` }, right: [416] }
  switch (kind) {
    case 'first-last':
      return { ...base, headers, part: closed, right: [206] }
    case 'from':
      return { ...base, headers: { range: `bytes=${start}-` }, part: { start, end: bytes }, right: [206] }
    case 'suffix':
      return { ...base, headers: { range: `bytes=-${suffix}` }, part: { start: Math.max(0, bytes - suffix), end: bytes }, right: [206] }
    case 'if-range':
      // RFC 9110 §14.2: "A server MAY ignore the Range header field." Past the cache, a condition on it may be too much to pass on.
      return { ...base, headers: { ...headers, 'if-range': etag }, part: closed, right: [206, 200] }
    case 'if-range-other':
      return { ...base, headers: { ...headers, 'if-range': '"another"' }, right: [200] }
  }
}

function otherPlan(base: Base, random: () => number): Plan {
  if (random() < 0.5) return { ...base, method: 'HEAD', right: [200] }
  const matches = random() < 0.5
  return { ...base, headers: { 'if-none-match': matches ? base.object.etag : '"another"' }, right: [matches ? 304 : 200] }
}
