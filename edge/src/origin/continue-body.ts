import { MillraceError } from '@millrace/common/errors'
import type { HeaderField } from '../cache/entry-meta.js'
import type { OriginAnswer } from './contract.js'
import { beginningOf, restOf, type Whole, wholeOf } from './resumed-body.js'

/** What became of a body that broke, or of an origin that was asked for its rest and has (or may have) other bytes; a metrics label. */
export const CONTINUATION_OUTCOMES = ['continued', 'mismatch', 'given-up'] as const
export type ContinuationOutcome = (typeof CONTINUATION_OUTCOMES)[number]

export interface Continuing {
  /** Whom to ask when the body of `broken` has ended early; `alone` when it is all that the route has. */
  candidates: (broken: string) => { route: readonly string[]; alone: boolean; beyond: readonly string[] }
  /** @returns the answer if its status is 200 or 206 */
  ask: (origin: string, range: string) => Promise<OriginAnswer | undefined>
  /** Whether a retry may be sent. */
  retry: () => boolean
  /** Bytes [start, end) of what was handed over already. */
  readBack: (start: number, end: number) => Promise<Uint8Array>
  onContinued: (outcome: ContinuationOutcome) => void
  /** Whether the request may be sent again at all. */
  repeatable: boolean
  signal: AbortSignal
}

/** Bytes before the break that must be equal: an ETag alone proves little, as some origins make it of date and length. */
export const OVERLAP_BYTES = 65_536
export const MAX_CONTINUATIONS = 3

/** Not of a request that asks for a part: a conditional one would be answered with 304 now. */
const NOT_RESUMED: ReadonlySet<string> = new Set([
  'range',
  'if-range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
])

/** The fields of a request that asks for the rest of what `fields` asked for. */
export function resumeFields(fields: readonly HeaderField[], range: string): HeaderField[] {
  return [...fields.filter(([name]) => !NOT_RESUMED.has(name)), ['range', range]]
}

interface Body {
  origin: string
  body: AsyncIterable<Uint8Array>
}

/**
 * An answer's body, completed by other origins when it breaks.
 *
 * @throws MillraceError `origin-…` of the break that no origin could mend
 */
export async function* continueBody(answer: OriginAnswer, continuing: Continuing): AsyncGenerator<Uint8Array, void, void> {
  const { signal, onContinued } = continuing
  const whole = continuing.repeatable ? wholeOf(answer) : undefined
  const mismatched = new Set<string>()
  let triedAgain = false
  let current: Body = answer
  let at = 0
  for (let continuations = 0; ; continuations++) {
    try {
      for await (const chunk of current.body) {
        at += chunk.length
        yield chunk
      }
      return
    } catch (error) {
      if (whole === undefined || signal.aborted || !(error instanceof MillraceError)) throw error
      const { route, alone, beyond } = continuing.candidates(current.origin)
      // A connection may break without its origin being at fault: the only one there is gets a second chance.
      const again = alone && !triedAgain ? [current.origin] : []
      triedAgain ||= alone
      const candidates = [...again, ...route, ...beyond].filter((origin) => !mismatched.has(origin))
      const rest = continuations < MAX_CONTINUATIONS ? await resume(whole, at, candidates, mismatched, continuing) : undefined
      if (!signal.aborted) onContinued(rest ? 'continued' : 'given-up')
      if (!rest) throw error
      current = rest
    }
  }
}

/** Asks one after the other for what is missing from byte `at` on; adds those that have something else to `mismatched`. */
async function resume(
  whole: Whole,
  at: number,
  candidates: readonly string[],
  mismatched: Set<string>,
  { ask, retry, readBack, onContinued, signal }: Continuing,
): Promise<Body | undefined> {
  const start = Math.max(0, at - OVERLAP_BYTES)
  const overlap = await readBack(start, at)
  for (const origin of candidates) {
    if (signal.aborted || !retry()) return undefined
    const answer = await ask(origin, `bytes=${start}-`)
    if (!answer) continue
    const begins = beginningOf(answer, whole, start)
    if (begins === undefined) answer.discard()
    const body = begins === undefined ? undefined : await attempt(restOf(answer, { begins, at, end: whole.length }, overlap))
    if (body === 'broken') continue
    if (body) return { origin, body }
    mismatched.add(origin)
    onContinued('mismatch')
  }
  return undefined
}

/** An origin that breaks again while it is compared is one more that can't go on. */
async function attempt<T>(reading: Promise<T>): Promise<T | 'broken'> {
  try {
    return await reading
  } catch (error) {
    if (error instanceof MillraceError) return 'broken'
    throw error
  }
}
