import { MillraceError } from '@millrace/common/errors'
import type { OriginAnswer } from './contract.js'

/** The body that is to be completed. */
export interface Whole {
  origin: string
  etag: string
  length: number
  encoding: string | undefined
}

/**
 * Whether a body can be completed by another origin: its length and a strong ETag are known. RFC 9110 §15.3.7.3: parts may be combined
 * "if they all have the same strong validator".
 */
export function wholeOf(answer: OriginAnswer): Whole | undefined {
  const { etag } = answer.headers
  if (answer.status !== 200 || answer.length === undefined || etag === undefined || !/^"[^"]*"$/.test(etag)) return undefined
  return { origin: answer.origin, etag, length: answer.length, encoding: answer.headers['content-encoding'] }
}

/** At which byte of the whole the answer's body begins, or undefined when it isn't of that whole, or not what was asked for. */
export function beginningOf(answer: OriginAnswer, whole: Whole, asked: number): number | undefined {
  const { headers, length } = answer
  if (headers.etag !== whole.etag || headers['content-encoding'] !== whole.encoding) return undefined
  if (answer.status === 200) return length === whole.length ? 0 : undefined
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/i.exec(headers['content-range'] ?? '')
  if (answer.status !== 206 || !match) return undefined
  const [first, last, total] = match.slice(1).map(Number)
  if (first !== asked || last !== whole.length - 1 || total !== whole.length) return undefined
  return length === undefined || length === whole.length - asked ? asked : undefined
}

/**
 * Reads an answer's body up to `at`, comparing what it knows already.
 *
 * @param begins the byte at which the body begins
 * @param overlap the bytes just before `at`
 * @returns the bytes from `at` on, exactly so many as there are to be, or undefined when one before them differs
 * @throws MillraceError `origin-…`
 */
export async function restOf(
  answer: OriginAnswer,
  { begins, at, end }: { begins: number; at: number; end: number },
  overlap: Uint8Array,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const iterator = answer.body[Symbol.asyncIterator]()
  const known = at - overlap.length
  let position = begins
  while (position < at) {
    const next = await iterator.next()
    if (next.done) return undefined
    const chunk = next.value
    const from = Math.max(position, known)
    const to = Math.min(position + chunk.length, at)
    const matches =
      from >= to || Buffer.compare(chunk.subarray(from - position, to - position), overlap.subarray(from - known, to - known)) === 0
    if (!matches) {
      await iterator.return?.()
      return undefined
    }
    position += chunk.length
    if (position > at) return exactly(end - at, iterator, answer.origin, chunk.subarray(at - (position - chunk.length)))
  }
  return exactly(end - at, iterator, answer.origin)
}

async function* exactly(
  length: number,
  iterator: AsyncIterator<Uint8Array>,
  origin: string,
  first?: Uint8Array,
): AsyncGenerator<Uint8Array, void, void> {
  let left = length
  try {
    let chunk: Uint8Array | undefined = first
    for (;;) {
      if (chunk) {
        left -= chunk.length
        if (left < 0) throw wrongLength(origin)
        yield chunk
      }
      const next = await iterator.next()
      if (next.done) break
      chunk = next.value
    }
  } finally {
    await iterator.return?.()
  }
  if (left > 0) throw wrongLength(origin)
}

function wrongLength(origin: string): MillraceError {
  const fields = { code: 'origin-unreachable', source: 'origin', retryable: true } as const
  return new MillraceError(`origin ${origin}: the body is not as long as announced`, fields)
}
